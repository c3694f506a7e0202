#include "serve/metrics.h"

#include <fmt/core.h>

#include <algorithm>

namespace maestrale::serve {
namespace {

// A label's value, quoted and escaped.
std::string label_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out + "\"";
}

void declare(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out += fmt::format("# HELP maestrale_{} {}\n# TYPE maestrale_{} {}\n", name, help, name, type);
}

template <class Value>
void sample(std::string& out, std::string_view name, std::string_view labels, Value value) {
  out += labels.empty() ? fmt::format("maestrale_{} {}\n", name, value)
                        : fmt::format("maestrale_{}{{{}}} {}\n", name, labels, value);
}

std::string model_label(std::string_view model) { return "model_name=" + label_text(model); }

struct Gauge {
  std::string_view name, type, help;
  double (*of)(const engine::ServiceStats& stats);
};

double share(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

constexpr Gauge kEngine[] = {
    {"num_requests_waiting", "gauge", "Requests in the queue.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.waiting); }},
    {"num_requests_running", "gauge", "Sequences in the batch.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.running); }},
    {"kv_cache_usage_ratio", "gauge", "Share of KV pages that hold running sequences.",
     [](const engine::ServiceStats& s) { return share(s.pages_used, s.pages); }},
    {"kv_cache_cached_ratio", "gauge", "Share of KV pages that hold prefixes for later.",
     [](const engine::ServiceStats& s) { return share(s.pages_cached, s.pages); }},
    {"engine_steps_total", "counter", "Steps of the engine.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.steps); }},
    {"engine_step_seconds", "gauge", "How long the last step took.",
     [](const engine::ServiceStats& s) { return s.last_step_s; }},
    {"prefix_cache_queries_total", "counter", "Prompt tokens looked up in the prefix cache.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.prompt_tokens); }},
    {"prefix_cache_hits_total", "counter", "Prompt tokens found in the prefix cache.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.cached_tokens); }},
    {"prefix_store_hits_total", "counter", "Prompt tokens read from the prefix store on disk.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.store_tokens); }},
    {"prefix_store_pages_read_total", "counter", "Pages read from the prefix store.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.store.read); }},
    {"prefix_store_pages_written_total", "counter", "Pages written to the prefix store.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.store.written); }},
    {"prefix_store_pages_skipped_total", "counter", "Pages not written: the disk is too slow, or full.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.store.skipped); }},
    {"prefix_store_pages_evicted_total", "counter", "Pages deleted to make room, of any model.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.store.evicted); }},
    {"prefix_store_pages_damaged_total", "counter", "Damaged files that were deleted.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.store.damaged); }},
    {"prefix_store_bytes", "gauge", "Bytes in the prefix store's folder, of all models, as last seen.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.store.bytes); }},
    {"num_preemptions_total", "counter", "Sequences put back to make room.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.preempted); }},
    {"reader_pauses_total", "counter", "Times that an answer paused because its client read too slowly.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.paused); }},
    {"requests_cancelled_total", "counter", "Requests that were cancelled.",
     [](const engine::ServiceStats& s) { return static_cast<double>(s.cancelled); }},
};

struct SlotGauge {
  std::string_view name, type, help;
  double (*of)(const SlotStats& stats);
};

constexpr SlotGauge kLoading[] = {
    {"model_loaded", "gauge", "1 where the model is in memory.",
     [](const SlotStats& s) { return s.loaded ? 1.0 : 0.0; }},
    {"model_waiting_requests", "gauge", "Requests that wait until the model is loaded.",
     [](const SlotStats& s) { return static_cast<double>(s.waiting); }},
    {"model_loads_total", "counter", "Times that the model was loaded on demand.",
     [](const SlotStats& s) { return static_cast<double>(s.loads); }},
    {"model_unloads_total", "counter", "Times that it was unloaded.",
     [](const SlotStats& s) { return static_cast<double>(s.unloads); }},
    {"model_load_failures_total", "counter", "Times that it could not be loaded.",
     [](const SlotStats& s) { return static_cast<double>(s.failures); }},
    {"model_load_seconds", "gauge", "How long the last load took.",
     [](const SlotStats& s) { return s.load_s; }},
};

void write_server(std::string& out, const net::ServerStats& server) {
  declare(out, "http_connections", "gauge", "Open connections.");
  sample(out, "http_connections", "", server.connections);
  declare(out, "http_requests_refused_total", "counter",
          "Requests that were malformed, too large or too slow.");
  sample(out, "http_requests_refused_total", "", server.refused);
  declare(out, "http_slow_readers_cut_total", "counter",
          "Connections closed because the client took nothing.");
  sample(out, "http_slow_readers_cut_total", "", server.cut);
}

void write_store(std::string& out, const StoreStats& store) {
  const auto counter = [&out](std::string_view name, std::string_view type, std::string_view help,
                              std::uint64_t value) {
    declare(out, name, type, help);
    sample(out, name, "", value);
  };
  counter("usage_records_waiting", "gauge", "Usage records in memory, not written yet.",
          store.ledger.waiting);
  counter("usage_requests_written_total", "counter", "Requests whose usage stands in the store.",
          store.ledger.written);
  counter("usage_write_failures_total", "counter", "Writes of usage that failed and are tried again.",
          store.ledger.failures);
  counter("usage_requests_lost_total", "counter", "Requests whose usage found no room in memory.",
          store.ledger.lost);
  counter("key_read_failures_total", "counter", "Times that the store's keys could not be read.",
          store.key_failures);
}

}  // namespace

void Histogram::add(double seconds) {
  const auto place = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  ++counts_[static_cast<std::size_t>(place - kBounds.begin())];
  sum_ += seconds;
}

void Histogram::write(std::string& out, std::string_view name, std::string_view labels) const {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    total += counts_[i];
    const std::string bound = i < kBounds.size() ? fmt::format("{}", kBounds[i]) : "+Inf";
    sample(out, fmt::format("{}_bucket", name), fmt::format("{},le=\"{}\"", labels, bound), total);
  }
  sample(out, fmt::format("{}_sum", name), labels, sum_);
  sample(out, fmt::format("{}_count", name), labels, total);
}

void Metrics::first_token(const std::string& model, double seconds) {
  const std::lock_guard lock(mutex_);
  times_[model].first_token.add(seconds);
}

void Metrics::next_token(const std::string& model, double seconds) {
  const std::lock_guard lock(mutex_);
  times_[model].next_token.add(seconds);
}

void Metrics::finished(const FinishedRequest& request) {
  const std::lock_guard lock(mutex_);
  Times& times = times_[request.model];
  times.total.add(request.usage.total_s);
  times.queue.add(request.usage.queue_s);
  Tokens& tokens = tokens_[{request.model, request.tenant}];
  tokens.prompt += static_cast<std::uint64_t>(request.usage.prompt_tokens);
  tokens.cached += static_cast<std::uint64_t>(request.usage.cached_tokens);
  tokens.completion += static_cast<std::uint64_t>(request.usage.completion_tokens);
  ++ends_[{request.model, request.reason}];
}

void Metrics::responded(const std::string& route, int status) {
  const std::lock_guard lock(mutex_);
  ++responses_[{route, status}];
}

void Metrics::limited(const std::string& tenant) {
  const std::lock_guard lock(mutex_);
  ++limited_[tenant];
}

std::string Metrics::render(const std::vector<ModelStats>& models, const net::ServerStats& server,
                            const std::optional<StoreStats>& store) const {
  std::string out;
  for (const Gauge& gauge : kEngine) {
    declare(out, gauge.name, gauge.type, gauge.help);
    for (const ModelStats& model : models) {
      if (model.engine) sample(out, gauge.name, model_label(model.model), gauge.of(*model.engine));
    }
  }
  for (const SlotGauge& gauge : kLoading) {
    declare(out, gauge.name, gauge.type, gauge.help);
    for (const ModelStats& model : models)
      sample(out, gauge.name, model_label(model.model), gauge.of(model.slot));
  }
  const std::lock_guard lock(mutex_);
  const auto histogram = [&](std::string_view name, std::string_view help, Histogram Times::*which) {
    declare(out, name, "histogram", help);
    for (const auto& [model, times] : times_) (times.*which).write(out, name, model_label(model));
  };
  histogram("time_to_first_token_seconds", "From the request to its first token.", &Times::first_token);
  histogram("inter_token_latency_seconds", "From one token to the next of a stream.", &Times::next_token);
  histogram("e2e_request_latency_seconds", "From the request to its end.", &Times::total);
  histogram("request_queue_time_seconds", "Time spent in the queue.", &Times::queue);
  const auto tokens = [&](std::string_view name, std::string_view help, std::uint64_t Tokens::*which) {
    declare(out, name, "counter", help);
    for (const auto& [key, count] : tokens_)
      sample(out, name, model_label(key.first) + ",key=" + label_text(key.second), count.*which);
  };
  tokens("prompt_tokens_total", "Prompt tokens, by key.", &Tokens::prompt);
  tokens("prompt_tokens_cached_total", "Of those, tokens taken from the prefix cache.", &Tokens::cached);
  tokens("generation_tokens_total", "Generated tokens, by key.", &Tokens::completion);
  declare(out, "requests_finished_total", "counter", "Requests by how they ended.");
  for (const auto& [key, count] : ends_)
    sample(out, "requests_finished_total",
           model_label(key.first) + ",finished_reason=" + label_text(key.second), count);
  declare(out, "http_responses_total", "counter", "Responses by route and status.");
  for (const auto& [key, count] : responses_)
    sample(out, "http_responses_total",
           fmt::format("route={},status=\"{}\"", label_text(key.first), key.second), count);
  declare(out, "requests_limited_total", "counter", "Requests refused by a key's limits.");
  for (const auto& [key, count] : limited_)
    sample(out, "requests_limited_total", "key=" + label_text(key), count);
  write_server(out, server);
  if (store) write_store(out, *store);
  return out;
}

}  // namespace maestrale::serve
