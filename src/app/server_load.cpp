#include "app/server_load.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <boost/json/serialize.hpp>
#include <boost/json/value_to.hpp>
#include <chrono>
#include <cmath>
#include <mutex>
#include <thread>

#include "net/client.h"

namespace maestrale::app {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::string_view kText =
    "One morning the old miller walked down to the river and found that the water had gone. He asked the "
    "fox, the "
    "heron and the boy who kept the geese, and every one of them told him another story about the night "
    "before.";

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// What all clients share.
struct Load {
  LoadPlan plan;
  net::Url url;
  json::array tokens;  // of kText; empty where the server does not tell
  std::atomic<std::int64_t> next{0};
  std::mutex mutex;
  std::vector<double> first_ms, between_ms;
  std::int64_t answered = 0, errors = 0, produced = 0;
  std::string first_error;
};

net::Request request_for(const Load& load, std::string method, std::string path, std::string body) {
  net::Request request{.method = std::move(method), .path = std::move(path)};
  request.body = std::move(body);
  request.headers.push_back({"Content-Type", "application/json"});
  if (!load.plan.api_key.empty()) request.headers.push_back({"Authorization", "Bearer " + load.plan.api_key});
  return request;
}

Result<json::value> ask(const Load& load, net::Client& client, net::Request request) {
  const std::string path = request.path;
  const net::Response response = TRY(client.send(request));
  if (response.status != 200) {
    return Error{.kind = ErrorKind::kIo,
                 .what = fmt::format("the server answered {}", response.status),
                 .where = load.plan.server + path,
                 .found = response.body.substr(0, 300)};
  }
  return parse_json(response.body, load.plan.server + path);
}

Status learn(Load& load) {
  const auto client = net::make_client(load.url);
  if (load.plan.model.empty()) {
    const json::value models = TRY(ask(load, *client, request_for(load, "GET", "/v1/models", "")));
    const json::object* object = models.if_object();
    const json::value* list = object == nullptr ? nullptr : object->if_contains("data");
    if (list == nullptr || !list->is_array() || list->get_array().empty())
      return Error{
          .kind = ErrorKind::kNotFound, .what = "the server lists no model", .where = load.plan.server};
    load.plan.model = json::value_to<std::string>(list->get_array().front().at("id"));
  }
  for (const char* name : {"prompt", "content"}) {  // vLLM's name of the text, and llama.cpp's
    const json::object body{{"model", load.plan.model}, {name, kText}};
    const auto tokens = ask(load, *client, request_for(load, "POST", "/tokenize", json::serialize(body)));
    if (!tokens.ok() || !tokens->is_object()) continue;
    const json::value* list = tokens->get_object().if_contains("tokens");
    if (list == nullptr || !list->is_array() || list->get_array().empty()) continue;
    load.tokens = list->get_array();
    break;
  }
  return {};
}

// `prompt_tokens` ids that begin elsewhere for each request, or as much text where ids are not known.
json::value prompt_for(const Load& load, std::int64_t index) {
  if (load.tokens.empty()) {
    std::string text = fmt::format("{} ", index);
    while (static_cast<std::int64_t>(text.size()) < load.plan.prompt_tokens * 4) text += kText;
    return json::value(text.substr(0, static_cast<std::size_t>(load.plan.prompt_tokens) * 4));
  }
  const auto count = static_cast<std::int64_t>(load.tokens.size());
  json::array ids;
  for (std::int64_t i = 0; i < load.plan.prompt_tokens; ++i) {
    // The step differs once every beginning has been used.
    const std::int64_t step = 1 + index / count;
    ids.push_back(load.tokens[static_cast<std::size_t>((index + i * step) % count)]);
  }
  return ids;
}

// One streamed answer.
class Measured {
 public:
  explicit Measured(Clock::time_point start) : start_(start) {}

  void data(const std::string& event) {
    if (event == "[DONE]") {
      done = true;
      return;
    }
    const auto value = parse_json(event, "event");
    if (!value.ok() || !value->is_object()) return;
    const json::object& object = value->get_object();
    if (object.contains("error")) error = event.substr(0, 300);
    const json::value* usage = object.if_contains("usage");
    if (usage != nullptr && usage->is_object())
      tokens = usage->at("completion_tokens").to_number<std::int64_t>();
    const json::value* choices = object.if_contains("choices");
    if (choices == nullptr || !choices->is_array() || choices->get_array().empty()) return;
    const json::value* text = choices->get_array().front().as_object().if_contains("text");
    if (text == nullptr || !text->is_string() || text->get_string().empty()) return;
    const auto now = Clock::now();
    const double gap =
        std::chrono::duration<double, std::milli>(now - (events == 0 ? start_ : last_)).count();
    if (events == 0) first_ms = gap;
    if (events > 0) between_ms.push_back(gap);
    last_ = now;
    ++events;
  }

  double first_ms = 0;
  std::vector<double> between_ms;
  std::int64_t tokens = 0, events = 0;
  bool done = false;
  std::string error;

 private:
  Clock::time_point start_, last_{};
};

void one_request(Load& load, net::Client& client, std::int64_t index) {
  const json::object body{{"model", load.plan.model},
                          {"prompt", prompt_for(load, index)},
                          {"max_tokens", load.plan.max_tokens},
                          {"temperature", 0},
                          {"ignore_eos", true},
                          {"stream", true},
                          {"stream_options", json::object{{"include_usage", true}}}};
  Measured measured(Clock::now());
  net::EventSplitter splitter;
  const auto response = client.send(request_for(load, "POST", "/v1/completions", json::serialize(body)),
                                    [&](std::string_view bytes) {
                                      for (const std::string& event : splitter.push(bytes))
                                        measured.data(event);
                                      return true;
                                    });
  std::string error = measured.error;
  if (!response.ok()) error = response.error().render();
  if (response.ok() && response->status != 200) error = fmt::format("status {}", response->status);
  if (error.empty() && (!measured.done || measured.events == 0)) error = "the answer ended early";
  const std::lock_guard lock(load.mutex);
  ++load.answered;
  if (!error.empty()) {
    ++load.errors;
    if (load.first_error.empty()) load.first_error = error;
    return;
  }
  load.produced += measured.tokens > 0 ? measured.tokens : measured.events;
  load.first_ms.push_back(measured.first_ms);
  load.between_ms.insert(load.between_ms.end(), measured.between_ms.begin(), measured.between_ms.end());
}

}  // namespace

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(values.size())));
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(std::clamp<std::size_t>(rank, 1, values.size()) - 1);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

json::object LoadReport::to_json() const {
  return {{"clients", clients},           {"requests", requests},       {"errors", errors},
          {"tokens_per_s", tokens_per_s}, {"ttft_p50_ms", ttft_p50_ms}, {"ttft_p95_ms", ttft_p95_ms},
          {"itl_p50_ms", itl_p50_ms},     {"itl_p95_ms", itl_p95_ms}};
}

std::string LoadReport::to_text() const {
  std::string out = fmt::format(
      "{} requests of {} clients, {} errors\n{:.1f} tokens/s\nfirst token    p50 {:.1f} ms, p95 {:.1f} ms\n"
      "between tokens p50 {:.1f} ms, p95 {:.1f} ms\n",
      requests, clients, errors, tokens_per_s, ttft_p50_ms, ttft_p95_ms, itl_p50_ms, itl_p95_ms);
  if (!first_error.empty()) out += "first error: " + first_error + "\n";
  return out;
}

Result<LoadReport> run_load_test(const LoadPlan& plan) {
  Load load;
  load.plan = plan;
  if (load.plan.requests == 0) load.plan.requests = 2 * plan.clients;
  load.url = TRY(net::parse_url(plan.server));
  TRY(learn(load));
  const auto start = Clock::now();
  std::vector<std::thread> clients;
  for (std::int64_t i = 0; i < plan.clients; ++i) {
    clients.emplace_back([&load] {
      const auto client = net::make_client(load.url, 600);
      for (std::int64_t index = load.next++; index < load.plan.requests; index = load.next++)
        one_request(load, *client, index);
    });
  }
  for (std::thread& client : clients) client.join();
  const double seconds = ms_since(start) / 1000;
  return LoadReport{.clients = plan.clients,
                    .requests = load.answered,
                    .errors = load.errors,
                    .tokens_per_s = static_cast<double>(load.produced) / seconds,
                    .ttft_p50_ms = percentile(load.first_ms, 0.5),
                    .ttft_p95_ms = percentile(load.first_ms, 0.95),
                    .itl_p50_ms = percentile(load.between_ms, 0.5),
                    .itl_p95_ms = percentile(load.between_ms, 0.95),
                    .first_error = load.first_error};
}

}  // namespace maestrale::app
