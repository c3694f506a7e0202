// /v1/responses: conversations that the server keeps, and responses that are made while nobody waits.
#include <fmt/core.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <ctime>
#include <utility>

#include "serve/api.h"
#include "serve/dialects/response_items.h"
#include "serve/dialects/responses.h"
#include "serve/fields.h"
#include "serve/query.h"

namespace maestrale::serve {
namespace {

constexpr std::string_view kPrefix = "/v1/responses/";

// Where a background response goes: nowhere. Cutting it is what cancels.
class NobodyWaits final : public net::Exchange {
 public:
  void respond(net::Response) override {}
  void begin(net::Response) override {}
  void write(std::string) override {}
  void end() override {}
  void keep_alive(std::string, double) override {}
  std::size_t pending() const override { return 0; }
  // Both on the server's thread.
  void cut() override {
    cut_ = true;
    if (gone_) std::exchange(gone_, {})();
  }
  void watch(std::function<void()> gone, std::function<void()>) override {
    gone_ = std::move(gone);
    if (cut_) cut();
  }

 private:
  std::function<void()> gone_;
  bool cut_ = false;
};

Result<json::array> with_referenced(json::array items, ResponseStore& store, const std::string& tenant) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].at("type") != "item_reference") continue;
    const std::string id(items[i].at("id").as_string());
    auto found = store.item(id, tenant);
    if (!found)
      return Error{.kind = ErrorKind::kNotFound,
                   .what = "there is no item '" + id + "'",
                   .where = element("input", i)};
    items[i] = *std::move(found);
  }
  return items;
}

// The conversation so far, the new items, and the instructions before both.
Result<ResponsesRequest> prepared(const json::object& body, ResponseStore& store, const std::string& tenant) {
  ResponsesRequest asked = TRY(read_responses(body));
  asked.input = TRY(with_referenced(std::move(asked.input), store, tenant));
  json::array items;
  if (!asked.instructions.empty()) items.push_back(message_item("system", asked.instructions));
  const json::array before = TRY(store.conversation(asked.previous, tenant));
  items.insert(items.end(), before.begin(), before.end());
  items.insert(items.end(), asked.input.begin(), asked.input.end());
  std::get<chat::ChatRequest>(asked.translation.request).messages = messages_of_items(items);
  return asked;
}

// The fields that this API calls otherwise.
Error in_their_words(Error error) {
  if (error.where.starts_with("messages")) error.where = "input";
  if (error.where == "reasoning_effort") error.where = "reasoning.effort";
  return error;
}

}  // namespace

void Api::create_response(Call& call) {
  auto read = prepared(call.object, responses_, call.owner());
  if (!read.ok()) return respond_error(call, api_error(read.error()));
  ResponsesRequest asked = std::move(read).value();
  const AnswerFacts facts{
      .id = new_id(24), .model = asked.translation.model, .created_s = std::time(nullptr)};
  const std::string id = "resp_" + facts.id;
  StoredResponse stored{.tenant = call.owner(), .previous = asked.previous, .input = std::move(asked.input)};
  asked.translation.id = facts.id;
  ResponsesWriterOptions writer{.echo = asked.echo, .logprobs = asked.logprobs, .timings = asked.timings};
  if (asked.background) {
    writer.finished = [this, id](const json::object& response) { responses_.finish(id, response); };
  } else if (asked.store) {
    writer.finished = [this, id, stored](const json::object& response) {
      StoredResponse done = stored;
      done.response = response;
      responses_.put(id, std::move(done));
    };
  }
  asked.translation.writer = make_responses_writer(std::move(writer));
  const auto model = models_.find_chat(asked.translation.model);
  if (!model.ok()) return respond_error(call, api_error(model.error()));
  const auto held = std::make_shared<ResponsesRequest>(std::move(asked));
  with_model(call, **model, {}, [=, this, named = *model](Call& waited, const Lease& service) {
    auto answer = ask(waited, held->translation, *named, service);
    if (!answer.ok()) return respond_refusal(waited, in_their_words(answer.error()));
    if (held->background) {
      StoredResponse kept = stored;
      kept.running = std::make_shared<NobodyWaits>();
      kept.response = empty_response(facts, held->echo, "queued");
      net::Response response{.status = 200, .headers = common_headers(waited)};
      response.headers.push_back({"Content-Type", "application/json"});
      response.body = json::serialize(kept.response);
      kept.response["status"] = "in_progress";
      const auto exchange = std::exchange(waited.exchange, kept.running);
      responses_.put(id, std::move(kept));     // before its id is told: the client may ask at once
      exchange->respond(std::move(response));  // it is counted and logged when it is over
      held->translation.stream = true;         // its events are what the response is made of
    }
    start(std::move(waited), std::move(held->translation), std::move(answer).value());
  });
}

Result<json::value> Api::count_response_tokens(const Call& call, const ModelService& service) {
  const ResponsesRequest asked = TRY(prepared(call.object, responses_, call.owner()));
  const auto prompt = service.chat->prompt_of(std::get<chat::ChatRequest>(asked.translation.request));
  if (!prompt.ok()) return in_their_words(prompt.error());
  return json::value(
      json::object{{"object", "response.input_tokens"}, {"input_tokens", prompt->tokens.size()}});
}

// GET /v1/responses/ID, …/ID/input_items; DELETE /v1/responses/ID; POST …/ID/cancel
void Api::stored_response(Call& call) { answer_plain(call, &Api::stored_response_json); }

Result<json::value> Api::stored_response_json(const Call& call) {
  std::string id = call.request.path.substr(kPrefix.size());
  std::string what;
  if (const std::size_t slash = id.find('/'); slash != std::string::npos) {
    what = id.substr(slash + 1);
    id.resize(slash);
  }
  const std::string& method = call.request.method;
  const bool get = method == "GET" || method == "HEAD";
  if (what == "input_items" && get) return response_input_items(call, id);
  Query query = TRY(Query::of(call.request.query));
  TRY(query.only("stream", "false", "a stored response is given whole"));
  TRY(query.only("include_obfuscation", "false", "streams are not padded"));
  TRY(query.done());
  if (what == "cancel" && method == "POST") return json::value(TRY(responses_.cancel(id, call.owner())));
  if (what.empty() && get) return json::value(TRY(responses_.find(id, call.owner())));
  if (what.empty() && method == "DELETE") {
    TRY(responses_.remove(id, call.owner()));
    return json::value(json::object{{"id", id}, {"object", "response"}, {"deleted", true}});
  }
  return Error{.kind = ErrorKind::kNotFound,
               .what = fmt::format("there is no such path: {} {}", method, call.request.path.substr(0, 200))};
}

Result<json::value> Api::response_input_items(const Call& call, const std::string& id) {
  Query query = TRY(Query::of(call.request.query));
  const std::size_t limit = static_cast<std::size_t>(TRY(query.integer("limit", 1, 100)).value_or(20));
  const std::string order = query.text("order").value_or("desc");
  if (order != "asc" && order != "desc") return bad_field("order", "unknown order", "asc or desc", order);
  const std::string after = query.text("after").value_or("");
  TRY(query.done());
  json::array items = TRY(responses_.input_items(id, call.owner()));
  if (order == "desc") std::reverse(items.begin(), items.end());
  auto first = items.begin();
  if (!after.empty()) {
    first = std::find_if(items.begin(), items.end(),
                         [&](const json::value& item) { return item.at("id").as_string() == after; });
    if (first == items.end()) return bad_field("after", "no item has this id", {}, after);
    ++first;
  }
  const auto left = static_cast<std::size_t>(items.end() - first);
  json::array data(first, first + static_cast<std::ptrdiff_t>(std::min(left, limit)));
  json::object out{
      {"object", "list"}, {"has_more", left > limit}, {"first_id", nullptr}, {"last_id", nullptr}};
  if (!data.empty()) {
    out["first_id"] = data.front().at("id");
    out["last_id"] = data.back().at("id");
  }
  out["data"] = std::move(data);
  return json::value(std::move(out));
}

}  // namespace maestrale::serve
