// Limits: how much a key may use. Requests and tokens per minute are buckets that fill again evenly; tokens
// per day begin anew at midnight UTC. A request reserves its prompt and the answer that it asks for; what was
// not used is given back, what was used beyond is owed. Thread-safe; time is told, so that tests need not
// wait.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "serve/api_key.h"

namespace maestrale::serve {

// Why a request must wait.
struct LimitRefusal {
  std::string message;
  double retry_s = 1;
};

// One limit as headers show it.
struct LimitState {
  std::int64_t limit = 0, remaining = 0;
  double reset_s = 0;  // until it is as if nothing had been used
};

class Limits {
 public:
  using Now = std::function<double()>;  // seconds since 1970
  explicit Limits(Now now);

  // Tokens reserved for one request; gives back what settle() was not told of.
  class Reservation {
   public:
    Reservation(Limits& limits, std::int64_t key, std::int64_t tokens)
        : limits_(limits), key_(key), tokens_(tokens) {}
    ~Reservation() { settle(0); }
    Reservation(const Reservation&) = delete;
    Reservation& operator=(const Reservation&) = delete;
    // The first call counts.
    void settle(std::int64_t used);

   private:
    Limits& limits_;
    std::int64_t key_, tokens_;
    bool settled_ = false;
  };

  // Counts a request; refused too where the key's tokens are used up.
  std::optional<LimitRefusal> admit_request(const ApiKey& key);
  // A request larger than a whole minute's tokens waits until the bucket is full.
  std::optional<LimitRefusal> reserve(const ApiKey& key, std::int64_t tokens,
                                      std::shared_ptr<Reservation>& into);
  // Tokens that were not reserved.
  void spend(const ApiKey& key, std::int64_t tokens);
  // What was used today before the server started.
  void set_used_today(std::int64_t key, std::int64_t tokens);
  // Nothing where the key has no such limit. Tokens: of the minute, else of the day.
  std::optional<LimitState> requests(const ApiKey& key);
  std::optional<LimitState> tokens(const ApiKey& key);

 private:
  struct Bucket {
    double level = -1, filled_s = 0;  // level: what is left; below 0 it is owed
    bool begun = false;
  };
  struct Account {
    Bucket requests, tokens;
    std::int64_t day = 0, used_today = 0;
  };
  Account& account(const ApiKey& key, double now);
  std::optional<LimitRefusal> lacking_tokens(const ApiKey& key, const Account& account, std::int64_t tokens,
                                             double now) const;
  void give_back(std::int64_t key, std::int64_t tokens);

  Now now_;
  std::mutex mutex_;
  std::unordered_map<std::int64_t, Account> accounts_;
};

}  // namespace maestrale::serve
