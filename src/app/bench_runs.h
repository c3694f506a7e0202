// The measurements behind `maestrale bench`: prefill and decode at depths and batch sizes, beside the
// machine's own limits from the same run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "engine/engine.h"

namespace maestrale::app {

struct BenchPlan {
  std::vector<std::int64_t> prefill_tokens, depths, sequences;
  std::int64_t decode_tokens = 0, repetitions = 1;

  std::int64_t longest() const;  // positions that one sequence needs
  std::int64_t most_sequences() const;
  std::size_t steps() const;  // measurements, for progress
};

struct PrefillRow {
  std::int64_t tokens = 0, depth = 0;
  double tokens_per_s = 0, gops = 0, peak_fraction = 0;
};

struct DecodeRow {
  std::int64_t depth = 0, sequences = 0;
  double tokens_per_s = 0, gbps = 0, bandwidth_fraction = 0;
};

struct BenchReport {
  std::string model, isa;
  int threads = 0;
  double peak_int8_gops = 0, read_gbps = 0, load_s = 0, first_token_s = 0;
  std::uint64_t rss_bytes = 0;
  std::vector<PrefillRow> prefill;
  std::vector<DecodeRow> decode;

  json::object to_json() const;
  std::string to_text() const;
};

// What this machine's cores and memory can do, to compare a model's speed with.
struct MachineLimits {
  double peak_int8_gops = 0, read_gbps = 0;
};

// Takes up to 1 GB while it measures; the peak of the process's memory counts from its end on.
Result<MachineLimits> measure_machine(int threads);

// Of several repetitions the fastest counts. Operations are two for each weight of the layers' matrices and
// token that passes them; bytes are the weights (of experts: the chosen ones) once for each step and the
// cached keys and values of every sequence.
Result<BenchReport> run_bench(engine::Engine& engine, const BenchPlan& plan, const MachineLimits& limits,
                              const std::function<void(double)>& progress);

}  // namespace maestrale::app
