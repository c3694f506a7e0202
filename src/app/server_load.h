// A load test of a server that speaks OpenAI's completions: what its clients see.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace maestrale::app {

struct LoadPlan {
  std::string server;  // http://HOST:PORT
  std::string model;   // empty: the first that the server lists
  std::string api_key;
  std::int64_t clients = 1;   // that ask at the same time, each one request after the other
  std::int64_t requests = 0;  // in all; 0: two for each client
  std::int64_t prompt_tokens = 128, max_tokens = 128;
};

struct LoadReport {
  std::int64_t clients = 0, requests = 0, errors = 0;
  double tokens_per_s = 0;                  // of all answers, from the first request to the last answer
  double ttft_p50_ms = 0, ttft_p95_ms = 0;  // from a request to its first token
  double itl_p50_ms = 0, itl_p95_ms = 0;    // between tokens of one answer
  std::string first_error = {};

  json::object to_json() const;
  std::string to_text() const;
};

// The value below which `share` of the values lie; 0 where there are none.
double percentile(std::vector<double> values, double share);

// Streams; prompts differ from each other from their first token on. Errors: no server, no model.
Result<LoadReport> run_load_test(const LoadPlan& plan);

}  // namespace maestrale::app
