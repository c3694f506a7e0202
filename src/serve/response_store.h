// Responses that were stored, in memory: bounded in bytes and in age, the longest unused go first. A response
// knows the one before it, so a conversation is a chain. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "net/server.h"

namespace maestrale::serve {

struct StoreLimits {
  std::size_t bytes = 64 << 20;  // of all responses as JSON
  std::chrono::seconds age = std::chrono::hours(24);
};

struct StoredResponse {
  std::string tenant;
  std::string previous;                         // id of the response before; empty: none
  json::array input;                            // items of this request alone
  json::object response = {};                   // as it was given, or "in_progress"
  std::shared_ptr<net::Exchange> running = {};  // of a background response: cutting it cancels
};

class ResponseStore {
 public:
  using Clock = std::chrono::steady_clock;
  explicit ResponseStore(StoreLimits limits = {}, std::function<Clock::time_point()> now = Clock::now)
      : limits_(limits), now_(std::move(now)) {}

  void put(const std::string& id, StoredResponse stored);
  // A background response is over; one that was cancelled or deleted meanwhile stays so.
  void finish(const std::string& id, json::object response);

  // Another tenant's are not there. kNotFound says which id, `where` is "response_id".
  Result<json::object> find(const std::string& id, const std::string& tenant);
  Status remove(const std::string& id, const std::string& tenant);
  // kUsage: it is not a background response that still runs. Gives the response as it is then.
  Result<json::object> cancel(const std::string& id, const std::string& tenant);
  // Input and output of `id` and all before it, in order; nothing for an empty id. kNotFound, also where one
  // of the chain has gone; kUsage where it is not over.
  Result<json::array> conversation(const std::string& id, const std::string& tenant);
  // What `id` was made from: the conversation before it and its own input.
  Result<json::array> input_items(const std::string& id, const std::string& tenant);
  // An item of any stored response.
  std::optional<json::value> item(const std::string& item_id, const std::string& tenant);

 private:
  struct Entry {
    StoredResponse stored;
    std::size_t bytes = 0;
    Clock::time_point used;
    std::list<std::string>::iterator order;
  };
  using Entries = std::map<std::string, Entry>;
  Entry* get(const std::string& id, const std::string& tenant);
  Result<json::array> chain(const std::string& id, const std::string& tenant);
  void weigh(Entry& entry);
  void erase(Entries::iterator entry);
  void make_room();

  StoreLimits limits_;
  std::function<Clock::time_point()> now_;
  std::mutex mutex_;
  Entries entries_;
  std::list<std::string> order_;  // the most recently used first
  std::size_t bytes_ = 0;
};

}  // namespace maestrale::serve
