#include "app/bench_runs.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "app/session.h"
#include "base/memory.h"
#include "base/rng.h"
#include "ops/machine.h"

namespace maestrale::app {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Weights of the layers' matrices that one token passes: embedding and output head, which have a row per
// vocabulary entry, left out, and all experts but the chosen ones.
double layer_weights(const engine::Engine& engine) {
  double weights = 0.0;
  for (const TensorView& tensor : engine.checkpoint().tensors) {
    const bool matrix = tensor.shape.size() >= 2;
    if (matrix && tensor.rows() != engine.info().vocabulary)
      weights += static_cast<double>(tensor.elements());
  }
  const models::ModelInfo& info = engine.info();
  return weights - static_cast<double>(info.parameters_total - info.parameters_active);
}

class Runner {
 public:
  Runner(engine::Engine& engine, const BenchPlan& plan, const std::function<void(double)>& progress)
      : engine_(engine), plan_(plan), progress_(progress), weights_(layer_weights(engine)) {
    logits_.resize(static_cast<std::size_t>(engine.info().vocabulary * plan.most_sequences()));
    for (std::int64_t i = 0; i < plan.most_sequences(); ++i) sequences_.push_back(engine.open_sequence());
    filled_.assign(sequences_.size(), 0);
    for (std::int64_t i = 0; i < plan.longest(); ++i) {
      const double share = uniform(1, 0, static_cast<std::uint64_t>(i));
      tokens_.push_back(static_cast<text::TokenId>(share * static_cast<double>(engine.info().vocabulary)));
    }
  }
  ~Runner() {
    for (const int sequence : sequences_) engine_.close_sequence(sequence);
  }

  Status run(BenchReport& report) {
    const Clock::time_point start = Clock::now();
    TRY(append(0, 0, plan_.prefill_tokens.front()));
    report.first_token_s = seconds_since(start);
    cut(0, 0);
    for (const std::int64_t depth : plan_.depths) {
      TRY(fill(0, depth));
      for (const std::int64_t tokens : plan_.prefill_tokens) {
        report.prefill.push_back(TRY(measure_prefill(tokens, depth, report.peak_int8_gops)));
      }
      for (const std::int64_t count : plan_.sequences) {
        report.decode.push_back(TRY(measure_decode(count, depth, report.read_gbps)));
      }
    }
    return {};
  }

 private:
  std::span<const text::TokenId> tokens(std::int64_t position, std::int64_t count) const {
    return std::span(tokens_).subspan(static_cast<std::size_t>(position), static_cast<std::size_t>(count));
  }

  Status append(std::size_t index, std::int64_t position, std::int64_t count) {
    if (interrupted()) return Error{.kind = ErrorKind::kCancelled, .what = "interrupted"};
    return engine_.append(sequences_[index], tokens(position, count), position, logits_.data());
  }

  Status fill(std::size_t index, std::int64_t depth) {
    if (filled_[index] < depth) TRY(append(index, filled_[index], depth - filled_[index]));
    filled_[index] = std::max(filled_[index], depth);
    return {};
  }

  // Back to `depth`, or to the beginning where the model is recurrent.
  void cut(std::size_t index, std::int64_t depth) {
    filled_[index] = engine_.truncate(sequences_[index], depth);
  }

  Result<PrefillRow> measure_prefill(std::int64_t count, std::int64_t depth, double peak) {
    double best = 1e300;
    for (std::int64_t i = 0; i < plan_.repetitions; ++i) {
      TRY(fill(0, depth));
      const Clock::time_point start = Clock::now();
      TRY(append(0, depth, count));
      best = std::min(best, seconds_since(start));
      cut(0, depth);
      progress_(static_cast<double>(++done_) / static_cast<double>(plan_.steps()));
    }
    PrefillRow row{.tokens = count, .depth = depth};
    row.tokens_per_s = static_cast<double>(count) / best;
    row.gops = row.tokens_per_s * 2.0 * weights_ / 1e9;
    row.peak_fraction = row.gops / peak;
    return row;
  }

  // One step of every sequence: a batch with one row each.
  Status step(std::int64_t count, std::int64_t position) {
    if (interrupted()) return Error{.kind = ErrorKind::kCancelled, .what = "interrupted"};
    std::vector<std::int32_t> ids, positions, sequences, rows;
    for (std::int64_t i = 0; i < count; ++i) {
      ids.push_back(tokens_[static_cast<std::size_t>((position + i) % plan_.longest())]);
      positions.push_back(static_cast<std::int32_t>(position));
      sequences.push_back(sequences_[static_cast<std::size_t>(i)]);
      rows.push_back(static_cast<std::int32_t>(i));
    }
    return engine_.forward({ids, positions, sequences, rows}, logits_.data());
  }

  Result<DecodeRow> measure_decode(std::int64_t count, std::int64_t depth, double read_gbps) {
    double best = 1e300;
    const ops::ExpertTraffic before = engine_.expert_traffic();
    std::uint64_t filling = 0;  // experts read before the steps
    for (std::int64_t i = 0; i < plan_.repetitions; ++i) {
      const std::uint64_t start_read = engine_.expert_traffic().read;
      for (std::int64_t s = 0; s < count; ++s) TRY(fill(static_cast<std::size_t>(s), depth));
      filling += engine_.expert_traffic().read - start_read;
      const Clock::time_point start = Clock::now();
      for (std::int64_t t = 0; t < plan_.decode_tokens; ++t) TRY(step(count, depth + t));
      best = std::min(best, seconds_since(start));
      for (std::int64_t s = 0; s < count; ++s) cut(static_cast<std::size_t>(s), depth);
      progress_(static_cast<double>(++done_) / static_cast<double>(plan_.steps()));
    }
    const engine::MemoryPlan& memory = engine_.memory();
    const double steps_per_s = static_cast<double>(plan_.decode_tokens) / best;
    const double cached = static_cast<double>(depth) + static_cast<double>(plan_.decode_tokens + 1) / 2.0;
    const double experts = static_cast<double>(engine_.expert_traffic().read - before.read - filling) /
                           static_cast<double>(plan_.repetitions * plan_.decode_tokens);
    const double bytes = static_cast<double>(memory.weights - before.reserved) + experts +
                         static_cast<double>(memory.kv_bytes_per_token) * cached * static_cast<double>(count);
    DecodeRow row{.depth = depth, .sequences = count};
    row.tokens_per_s = steps_per_s * static_cast<double>(count);
    row.gbps = steps_per_s * bytes / 1e9;
    row.bandwidth_fraction = row.gbps / read_gbps;
    return row;
  }

  engine::Engine& engine_;
  const BenchPlan& plan_;
  const std::function<void(double)>& progress_;
  double weights_;
  std::vector<float> logits_;
  std::vector<int> sequences_;
  std::vector<std::int64_t> filled_;  // positions that each sequence holds
  std::vector<text::TokenId> tokens_;
  std::size_t done_ = 0;
};

}  // namespace

std::int64_t BenchPlan::longest() const {
  const std::int64_t most = *std::max_element(prefill_tokens.begin(), prefill_tokens.end());
  return *std::max_element(depths.begin(), depths.end()) + std::max(most, decode_tokens);
}

std::int64_t BenchPlan::most_sequences() const {
  return *std::max_element(sequences.begin(), sequences.end());
}

std::size_t BenchPlan::steps() const {
  return depths.size() * (prefill_tokens.size() + sequences.size()) * static_cast<std::size_t>(repetitions);
}

json::object BenchReport::to_json() const {
  json::array prefills;
  for (const PrefillRow& row : prefill) {
    prefills.push_back(json::object{{"tokens", row.tokens},
                                    {"depth", row.depth},
                                    {"tokens_per_s", row.tokens_per_s},
                                    {"gops", row.gops},
                                    {"peak_fraction", row.peak_fraction}});
  }
  json::array decodes;
  for (const DecodeRow& row : decode) {
    decodes.push_back(json::object{{"depth", row.depth},
                                   {"sequences", row.sequences},
                                   {"tokens_per_s", row.tokens_per_s},
                                   {"gbps", row.gbps},
                                   {"bandwidth_fraction", row.bandwidth_fraction}});
  }
  return {{"model", model},
          {"threads", threads},
          {"isa", isa},
          {"peak_int8_gops", peak_int8_gops},
          {"read_gbps", read_gbps},
          {"load_s", load_s},
          {"first_token_s", first_token_s},
          {"rss_bytes", rss_bytes},
          {"prefill", std::move(prefills)},
          {"decode", std::move(decodes)}};
}

std::string BenchReport::to_text() const {
  std::string out = fmt::format(
      "{}, {} threads, {}\n"
      "this machine: {:.0f} GOP/s int8, {:.1f} GB/s read\n"
      "load {:.2f} s, first token {:.3f} s, peak memory {}\n\n"
      "{:<28} {:>10} {:>10} {:>10}\n",
      model, threads, isa, peak_int8_gops, read_gbps, load_s, first_token_s, engine::human_bytes(rss_bytes),
      "prefill", "tokens/s", "GOP/s", "of peak");
  for (const PrefillRow& row : prefill) {
    out += fmt::format("{:<28} {:>10.1f} {:>10.1f} {:>8.0f} %\n",
                       fmt::format("{} tokens at depth {}", row.tokens, row.depth), row.tokens_per_s,
                       row.gops, 100.0 * row.peak_fraction);
  }
  out += fmt::format("\n{:<28} {:>10} {:>10} {:>10}\n", "decode", "tokens/s", "GB/s", "of read");
  for (const DecodeRow& row : decode) {
    out += fmt::format("{:<28} {:>10.1f} {:>10.1f} {:>8.0f} %\n",
                       fmt::format("{} x at depth {}", row.sequences, row.depth), row.tokens_per_s, row.gbps,
                       100.0 * row.bandwidth_fraction);
  }
  return out;
}

Result<MachineLimits> measure_machine(int threads) {
  MachineLimits limits;
  limits.peak_int8_gops = TRY(ops::measure_int8_peak_gops(threads));
  limits.read_gbps = TRY(ops::measure_read_gbps(threads));
  std::ofstream("/proc/self/clear_refs")
      << 5;  // forgets the peak so far: it was the yardstick's, not the model's
  return limits;
}

Result<BenchReport> run_bench(engine::Engine& engine, const BenchPlan& plan, const MachineLimits& limits,
                              const std::function<void(double)>& progress) {
  BenchReport report;
  report.model = engine.checkpoint().path.string();
  report.isa = engine.isa();
  report.threads = engine.threads();
  report.load_s = engine.load_seconds();
  report.peak_int8_gops = limits.peak_int8_gops;
  report.read_gbps = limits.read_gbps;
  TRY(Runner(engine, plan, progress).run(report));
  report.rss_bytes = peak_resident_bytes();
  return report;
}

}  // namespace maestrale::app
