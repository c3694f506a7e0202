// Counters and histograms in Prometheus' text format. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/service.h"
#include "net/server.h"
#include "serve/model_pool.h"
#include "store/ledger.h"

namespace maestrale::serve {

class Histogram {
 public:
  static constexpr std::array<double, 16> kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                     0.5,   1,      2.5,   5,    10,    25,   50,  100};
  void add(double seconds);
  void write(std::string& out, std::string_view name, std::string_view labels) const;

 private:
  std::array<std::uint64_t, kBounds.size() + 1> counts_{};
  double sum_ = 0;
};

struct FinishedRequest {
  std::string model, tenant, route;
  std::string reason = {};  // stop, length, tool_calls, cancelled, error
  engine::Usage usage = {};
};

struct ModelStats {
  std::string model;
  std::optional<engine::ServiceStats> engine = {};  // nothing: it is not loaded
  SlotStats slot = {};
};

struct StoreStats {
  store::LedgerStats ledger;
  std::uint64_t key_failures = 0;  // times that the keys could not be read
};

class Metrics {
 public:
  void first_token(const std::string& model, double seconds);
  void next_token(const std::string& model, double seconds);
  void finished(const FinishedRequest& request);
  void responded(const std::string& route, int status);
  void limited(const std::string& tenant);
  std::string render(const std::vector<ModelStats>& models, const net::ServerStats& server,
                     const std::optional<StoreStats>& store = {}) const;

 private:
  struct Tokens {
    std::uint64_t prompt = 0, cached = 0, completion = 0;
  };
  struct Times {
    Histogram first_token, next_token, total, queue;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Times> times_;                                 // by model
  std::map<std::pair<std::string, std::string>, Tokens> tokens_;       // by model and key
  std::map<std::pair<std::string, std::string>, std::uint64_t> ends_;  // by model and reason
  std::map<std::pair<std::string, int>, std::uint64_t> responses_;     // by route and status
  std::map<std::string, std::uint64_t> limited_;                       // by key
};

}  // namespace maestrale::serve
