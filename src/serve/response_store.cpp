#include "serve/response_store.h"

#include <boost/json/serialize.hpp>
#include <vector>

namespace maestrale::serve {
namespace {

Error unknown(const std::string& id, std::string where = "response_id") {
  return Error{.kind = ErrorKind::kNotFound,
               .what = "there is no response '" + id.substr(0, 100) + "'",
               .where = std::move(where),
               .hint = "responses are kept for a day, and fewer where there are many"};
}

void append(json::array& to, const json::array& items) { to.insert(to.end(), items.begin(), items.end()); }

}  // namespace

ResponseStore::Entry* ResponseStore::get(const std::string& id, const std::string& tenant) {
  const auto found = entries_.find(id);
  if (found == entries_.end() || found->second.stored.tenant != tenant) return nullptr;
  Entry& entry = found->second;
  if (now_() - entry.used > limits_.age && !entry.stored.running) {
    erase(found);
    return nullptr;
  }
  entry.used = now_();
  order_.splice(order_.begin(), order_, entry.order);
  return &entry;
}

void ResponseStore::weigh(Entry& entry) {
  bytes_ -= entry.bytes;
  entry.bytes = json::serialize(entry.stored.response).size() + json::serialize(entry.stored.input).size();
  bytes_ += entry.bytes;
}

void ResponseStore::erase(Entries::iterator entry) {
  bytes_ -= entry->second.bytes;
  order_.erase(entry->second.order);
  entries_.erase(entry);
}

// Those that still run stay.
void ResponseStore::make_room() {
  for (auto place = order_.end(); place != order_.begin();) {
    const auto entry = entries_.find(*--place);
    const bool old = now_() - entry->second.used > limits_.age;
    if (!old && bytes_ <= limits_.bytes) return;
    if (entry->second.stored.running) continue;
    ++place;
    erase(entry);
  }
}

void ResponseStore::put(const std::string& id, StoredResponse stored) {
  const std::lock_guard lock(mutex_);
  order_.push_front(id);
  Entry& entry = entries_[id];
  entry = {.stored = std::move(stored), .bytes = 0, .used = now_(), .order = order_.begin()};
  weigh(entry);
  make_room();
}

void ResponseStore::finish(const std::string& id, json::object response) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end() || !found->second.stored.running) return;
  found->second.stored.running.reset();
  found->second.stored.response = std::move(response);
  weigh(found->second);
  make_room();
}

Result<json::object> ResponseStore::find(const std::string& id, const std::string& tenant) {
  const std::lock_guard lock(mutex_);
  const Entry* entry = get(id, tenant);
  if (entry == nullptr) return unknown(id);
  return entry->stored.response;
}

Status ResponseStore::remove(const std::string& id, const std::string& tenant) {
  std::shared_ptr<net::Exchange> running;
  {
    const std::lock_guard lock(mutex_);
    Entry* entry = get(id, tenant);
    if (entry == nullptr) return unknown(id);
    running = std::move(entry->stored.running);
    erase(entries_.find(id));
  }
  if (running) running->cut();
  return {};
}

Result<json::object> ResponseStore::cancel(const std::string& id, const std::string& tenant) {
  std::shared_ptr<net::Exchange> running;
  json::object response;
  {
    const std::lock_guard lock(mutex_);
    Entry* entry = get(id, tenant);
    if (entry == nullptr) return unknown(id);
    json::object& stored = entry->stored.response;
    const bool was_cancelled = stored.at("status") == "cancelled";
    if (!entry->stored.running && !was_cancelled) {
      return Error{.kind = ErrorKind::kUsage,
                   .what = "only background responses that still run can be cancelled",
                   .where = "response_id",
                   .found = "status " + std::string(stored.at("status").as_string())};
    }
    running = std::move(entry->stored.running);
    stored["status"] = "cancelled";
    response = stored;
  }
  if (running) running->cut();
  return response;
}

Result<json::array> ResponseStore::chain(const std::string& id, const std::string& tenant) {
  std::vector<const Entry*> entries;
  for (std::string at = id; !at.empty(); at = entries.back()->stored.previous) {
    const Entry* entry = get(at, tenant);
    if (entry == nullptr) return unknown(at, "previous_response_id");
    if (entry->stored.running) {
      return Error{.kind = ErrorKind::kUsage,
                   .what = "the response before is not over",
                   .where = "previous_response_id",
                   .found = at};
    }
    entries.push_back(entry);
  }
  json::array items;
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    append(items, (*entry)->stored.input);
    append(items, (*entry)->stored.response.at("output").as_array());
  }
  return items;
}

Result<json::array> ResponseStore::conversation(const std::string& id, const std::string& tenant) {
  const std::lock_guard lock(mutex_);
  return chain(id, tenant);
}

Result<json::array> ResponseStore::input_items(const std::string& id, const std::string& tenant) {
  const std::lock_guard lock(mutex_);
  const Entry* entry = get(id, tenant);
  if (entry == nullptr) return unknown(id);
  json::array items = TRY(chain(entry->stored.previous, tenant));
  append(items, entry->stored.input);
  return items;
}

std::optional<json::value> ResponseStore::item(const std::string& item_id, const std::string& tenant) {
  const std::lock_guard lock(mutex_);
  for (const std::string& id : order_) {
    const StoredResponse& stored = entries_.at(id).stored;
    if (stored.tenant != tenant) continue;
    for (const json::array* list : {&stored.response.at("output").as_array(), &stored.input}) {
      for (const json::value& item : *list) {
        if (item.at("id").as_string() == item_id) return item;
      }
    }
  }
  return std::nullopt;
}

}  // namespace maestrale::serve
