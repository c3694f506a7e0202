#include "serve/api.h"

#include <fmt/core.h>

#include <boost/json/serialize.hpp>
#include <cmath>
#include <ctime>
#include <future>
#include <tuple>

#include "serve/dialects/anthropic.h"
#include "serve/dialects/mistral.h"
#include "serve/dialects/ollama.h"
#include "serve/dialects/openai.h"
#include "serve/fields.h"
#include "serve/routes.h"

namespace maestrale::serve {
namespace {

constexpr std::size_t kMaxNesting = 64;
constexpr std::size_t kMaxRequestId = 128;

std::string request_id(const net::Request& request) {
  const auto given = request.header("x-request-id");
  if (given && !given->empty() && given->size() <= kMaxRequestId) return std::string(*given);
  return "req_" + new_id(24);
}

ApiError refusal(int status, std::string message) {
  return {.status = status, .message = std::move(message)};
}

bool starts_stream(const net::Request& request) { return request.method == "POST"; }

}  // namespace

DialectName dialect_of(const net::Request& request) {
  if (request.path.starts_with("/api/")) return DialectName::kOllama;
  if (request.path.starts_with("/v1/messages") || request.header("anthropic-version"))
    return DialectName::kAnthropic;
  if (request.path.starts_with("/v1/fim/")) return DialectName::kMistral;
  const std::string agent = net::lower_case(request.header("user-agent").value_or(""));
  const bool mistral = agent.find("mistral") != std::string::npos;
  return mistral ? DialectName::kMistral : DialectName::kOpenAi;
}

Api::Api(Models models, ApiOptions options)
    : models_(std::move(models)), options_(std::move(options)), guard_(options_.guard) {
  workers_ = std::make_unique<WorkQueue>(options_.workers);
}

Api::~Api() {
  // Everything ends and is counted: encoders' answers by the workers, the others' by the server's thread.
  models_.pool().stop(0);
  for (const auto& service : models_.pool().loaded()) service->drain(0);
  workers_.reset();
  if (server_ != nullptr) {
    server_->stop(0);
    std::promise<void> cleared;
    server_->post([this, &cleared] {
      jobs_.clear();
      cleared.set_value();
    });
    cleared.get_future().wait();
  }
  models_ = Models();  // the engines end, and no notice of theirs is under way any more
  server_.reset();
}

Status Api::listen(const net::ServerOptions& options) {
  server_ = TRY(net::Server::start(
      options,
      [this](net::Request request, std::shared_ptr<net::Exchange> exchange) {
        handle(std::move(request), std::move(exchange));
      },
      [this](int status, std::string_view message, std::string_view path) {
        return render_error(status, message, path);
      }));
  return {};
}

void Api::drain(double seconds) {
  draining_ = true;
  const auto start = std::chrono::steady_clock::now();
  const auto left = [&] {
    const std::chrono::duration<double> gone = std::chrono::steady_clock::now() - start;
    return std::max(0.0, seconds - gone.count());
  };
  models_.pool().stop(left());
  for (const auto& service : models_.pool().loaded()) service->drain(left());
  server_->stop(left() + 1);  // the last events are still to be sent
}

net::Response Api::render_error(int status, std::string_view message, std::string_view path) const {
  const net::Request request{.path = std::string(path)};
  const ApiError error = refusal(status, std::string(message));
  return {.status = status,
          .headers = {{"Content-Type", "application/json"}},
          .body = json::serialize(error_json(dialect_of(request), error))};
}

// A row: who answers what. Exactly one of the ways is set.
struct Api::Route {
  std::string_view method, path;
  std::optional<Scope> scope = {};  // nothing: needs no key
  Result<json::value> (Api::*plain)(const Call&) = nullptr;
  // Once the model that the body names is loaded.
  Result<json::value> (Api::*of_service)(const Call&, const ModelService&) = nullptr;
  bool generates = false;  // … which must generate
  Read read = nullptr;
  ReadEncoding read_encoding = nullptr;
  void (Api::*parsed)(Call&) = nullptr;  // once the body is parsed, off the server's thread
  void (Api::*own)(Call&) = nullptr;     // at once
};

const std::vector<Api::Route>& Api::routes() {
  static const std::vector<Route> kRoutes = {
      {.method = "POST",
       .path = "/v1/chat/completions",
       .scope = Scope::kGenerate,
       .read = read_chat_completions},
      {.method = "POST", .path = "/v1/completions", .scope = Scope::kGenerate, .read = read_completions},
      {.method = "POST",
       .path = "/v1/fim/completions",
       .scope = Scope::kGenerate,
       .read = read_fim_completions},
      {.method = "POST", .path = "/v1/messages", .scope = Scope::kGenerate, .read = read_messages_api},
      {.method = "POST", .path = "/api/chat", .scope = Scope::kGenerate, .read = read_ollama_chat_api},
      {.method = "POST",
       .path = "/api/generate",
       .scope = Scope::kGenerate,
       .read = read_ollama_generate_api},
      {.method = "POST", .path = "/v1/responses", .scope = Scope::kGenerate, .parsed = &Api::create_response},
      {.method = "GET", .path = "/v1/responses/", .scope = Scope::kGenerate, .own = &Api::stored_response},
      {.method = "DELETE", .path = "/v1/responses/", .scope = Scope::kGenerate, .own = &Api::stored_response},
      {.method = "POST", .path = "/v1/responses/", .scope = Scope::kGenerate, .own = &Api::stored_response},
      // After the rows whose path it begins with.
      {.method = "POST",
       .path = "/v1/responses/input_tokens",
       .scope = Scope::kModels,
       .of_service = &Api::count_response_tokens,
       .generates = true},
      {.method = "POST",
       .path = "/v1/embeddings",
       .scope = Scope::kEmbed,
       .read_encoding = read_embeddings_api},
      {.method = "POST", .path = "/v1/rerank", .scope = Scope::kEmbed, .read_encoding = read_rerank_api},
      {.method = "POST",
       .path = "/api/embed",
       .scope = Scope::kEmbed,
       .read_encoding = read_ollama_embed_api},
      {.method = "POST",
       .path = "/api/embeddings",
       .scope = Scope::kEmbed,
       .read_encoding = read_ollama_embeddings_api},
      {.method = "POST",
       .path = "/v1/messages/count_tokens",
       .scope = Scope::kModels,
       .of_service = &Api::count_tokens,
       .generates = true},
      {.method = "POST", .path = "/tokenize", .scope = Scope::kModels, .of_service = &Api::tokenize},
      {.method = "POST", .path = "/detokenize", .scope = Scope::kModels, .of_service = &Api::detokenize},
      {.method = "POST", .path = "/api/show", .scope = Scope::kModels, .plain = &Api::show},
      {.method = "GET", .path = "/v1/models", .scope = Scope::kModels, .plain = &Api::models},
      {.method = "GET", .path = "/v1/models/", .scope = Scope::kModels, .plain = &Api::model},
      {.method = "GET", .path = "/api/tags", .scope = Scope::kModels, .plain = &Api::tags},
      {.method = "GET", .path = "/api/ps", .scope = Scope::kModels, .plain = &Api::running},
      {.method = "GET", .path = "/api/version", .scope = Scope::kModels, .plain = &Api::version},
      {.method = "GET", .path = "/health", .plain = &Api::health},
      {.method = "GET", .path = "/ready", .own = &Api::ready},
      {.method = "GET", .path = "/metrics", .scope = Scope::kMetrics, .own = &Api::metrics},
      {.method = "GET", .path = "/", .own = &Api::root},
  };
  return kRoutes;
}

void Api::handle(net::Request request, std::shared_ptr<net::Exchange> exchange) {
  Call call{.request = std::move(request), .exchange = std::move(exchange)};
  call.received = std::chrono::steady_clock::now();
  call.dialect = dialect_of(call.request);
  call.id = request_id(call.request);
  const bool asks = call.request.method == "OPTIONS";
  const std::string method = call.request.method == "HEAD" ? "GET" : call.request.method;
  const Route* found = nullptr;
  bool known = false;
  for (const Route& route : routes()) {
    // A path that ends with a slash takes what follows as a name.
    const bool is_prefix = route.path.size() > 1 && route.path.ends_with('/');
    const bool matches =
        is_prefix ? call.request.path.starts_with(route.path) && call.request.path.size() > route.path.size()
                  : call.request.path == route.path;
    known = known || matches;
    if (matches && route.method == method) found = &route;
  }
  call.route = found != nullptr ? found->path : "";
  std::optional<Scope> scope = found != nullptr ? found->scope : Scope::kModels;
  if (asks) scope.reset();
  const Guard::Verdict verdict = guard_.check(call.request, scope);
  if (verdict.status != 0) return respond_error(call, refusal(verdict.status, verdict.message));
  call.key = verdict.key;
  if (asks) return respond(call, {.status = 204, .headers = {}, .body = {}});
  if (found == nullptr) {
    const std::string what = fmt::format("{} {}", call.request.method, call.request.path.substr(0, 200));
    return respond_error(call, known ? refusal(405, "this path takes another method: " + what)
                                     : refusal(404, "there is no such path: " + what));
  }
  dispatch(*found, std::move(call));
}

void Api::dispatch(const Route& route, Call call) {
  if (route.own != nullptr) return (this->*route.own)(call);
  if (!starts_stream(call.request)) return answer_plain(call, route.plain);
  if (draining_) return respond_error(call, refusal(503, "the server is shutting down"));
  const bool counted = route.scope == Scope::kGenerate || route.scope == Scope::kEmbed;
  if (counted && !admit(call)) return;
  auto shared = std::make_shared<Call>(std::move(call));
  const bool taken = workers_->push([this, shared, &route] {
    auto body = parse_json(shared->request.body, "body", kMaxNesting);
    if (!body.ok())
      return respond_error(*shared, refusal(400, body.error().what + " (" + body.error().where + ")"));
    if (!body->is_object()) return respond_error(*shared, refusal(400, "the body is not a JSON object"));
    shared->object = std::move(body->get_object());
    shared->request.body = {};
    if (route.read != nullptr) return generate(*shared, route.read);
    if (route.parsed != nullptr) return (this->*route.parsed)(*shared);
    if (route.read_encoding != nullptr) return encode(*shared, route.read_encoding);
    if (route.of_service != nullptr) return ask_service(route, *shared);
    answer_plain(*shared, route.plain);
  });
  if (!taken) respond_error(*shared, refusal(503, "too many requests are waiting"));
}

void Api::answer_plain(Call& call, Result<json::value> (Api::*make)(const Call&)) {
  const auto value = (this->*make)(call);
  if (!value.ok()) return respond_error(call, api_error(value.error()));
  respond_json(call, *value);
}

void Api::generate(Call& call, Read read) {
  auto translation = read(call.object, call.request);
  if (!translation.ok()) return respond_error(call, api_error(translation.error()));
  const auto model = models_.find_chat(translation->model);
  if (!model.ok()) return respond_error(call, api_error(model.error()));
  const auto shared = std::make_shared<Translation>(std::move(translation).value());
  if (shared->only_load) return only_load(call, **model, shared);
  with_model(call, **model, shared->keep_s, [this, shared, named = *model](Call& held, const Lease& service) {
    auto asked = ask(held, *shared, *named, service);
    if (!asked.ok()) return respond_refusal(held, asked.error());
    start(std::move(held), std::move(*shared), std::move(asked).value());
  });
}

void Api::ask_service(const Route& route, Call& call) {
  Fields fields(call.object, "");
  const auto name = fields.required_string("model");
  if (!name.ok()) return respond_error(call, api_error(name.error()));
  const auto model = route.generates ? models_.find_chat(*name) : models_.find(*name);
  if (!model.ok()) return respond_error(call, api_error(model.error()));
  with_model(call, **model, {}, [this, &route](Call& held, const Lease& service) {
    const auto value = (this->*route.of_service)(held, *service);
    if (!value.ok()) return respond_error(held, api_error(value.error()));
    respond_json(held, *value);
  });
}

Result<Api::Asked> Api::ask(Call& call, Translation& translation, const ServedModel& model,
                            const Lease& service) {
  chat::CommonRequest& common = translation.common();
  common.tenant = call.owner();
  common.weight = call.key ? call.key->weight : 1;
  common.adapter = model.adapter;
  common.admit = [this, &call, &common](std::int64_t prompt) {
    return reserve(call, prompt + std::max<std::int64_t>(common.max_tokens, 0) * common.choices);
  };
  const auto* talk = std::get_if<chat::ChatRequest>(&translation.request);
  auto answer =
      TRY(talk != nullptr ? service->chat->chat(*talk)
                          : service->chat->complete(std::get<chat::TextRequest>(translation.request)));
  common.admit = {};
  return Asked{&model, service, std::move(answer)};
}

void Api::respond_refusal(const Call& call, const Error& error) {
  ApiError shown = api_error(error);
  if (shown.status == 429 && draining_) shown.status = 503;
  shown.retry_s = call.retry_s;
  respond_error(call, shown);
}

void Api::start(Call call, Translation translation, Asked asked) {
  // std::function needs something that can be copied.
  auto shared = std::make_shared<std::tuple<Call, Translation, Asked>>(
      std::move(call), std::move(translation), std::move(asked));
  server_->post([this, shared] {
    auto& [moved, translated, taken] = *shared;
    start_job(std::move(moved), std::move(translated), std::move(taken));
  });
}

void Api::start_job(Call call, Translation translation, Asked asked) {
  JobOptions job{.lease = std::move(asked.service),
                 .translation = std::move(translation),
                 .facts = {},
                 .answer = std::move(asked.answer)};
  const std::string& id = job.translation.id;
  job.facts = {.id = id.empty() ? new_id(24) : id,
               .model = job.translation.model,
               .created_s = std::time(nullptr),
               .prompt_tokens = job.answer->prompt_tokens(),
               .load_s = call.load_s};
  job.exchange = call.exchange;
  job.headers = common_headers(call);
  job.model = asked.model->id;
  job.tenant = call.tenant();
  job.route = call.route;
  job.received = call.received;
  job.quiet_s = options_.quiet_s;
  job.dialect = call.dialect;
  job.metrics = &metrics_;
  job.post = [this](std::function<void()> work) { server_->post(std::move(work)); };
  const std::string label = job.translation.label;
  call.object = {};
  call.exchange.reset();
  const auto holder = std::make_shared<std::weak_ptr<Job>>();
  job.finished = [this, call, label, holder, uid = job.facts.id](const FinishedRequest& finished,
                                                                 int status) {
    metrics_.responded(call.route, status);
    record(call, uid, finished);
    write_log(call, status, &finished, label);
    // Not at once: the job is still at work.
    server_->post([this, holder] { jobs_.erase(holder->lock()); });
  };
  auto made = std::make_shared<Job>(std::move(job));
  *holder = made;
  jobs_.insert(made);
  made->start();
}

std::vector<net::Header> Api::common_headers(const Call& call) const {
  std::vector<net::Header> headers = guard_.cors(call.request);
  headers.push_back({"x-request-id", call.id});
  if (call.dialect == DialectName::kAnthropic) headers.push_back({"request-id", call.id});
  add_limits(call, headers);
  return headers;
}

void Api::respond(const Call& call, net::Response response) {
  for (net::Header& header : common_headers(call)) response.headers.push_back(std::move(header));
  metrics_.responded(call.route.empty() ? "other" : call.route, response.status);
  write_log(call, response.status, nullptr, "");
  call.exchange->respond(std::move(response));
}

void Api::respond_json(const Call& call, const json::value& value) {
  respond(call,
          {.status = 200, .headers = {{"Content-Type", "application/json"}}, .body = json::serialize(value)});
}

void Api::respond_error(const Call& call, const ApiError& error) {
  net::Response response{.status = error.status, .headers = {{"Content-Type", "application/json"}}};
  if (error.status == 429 || error.status == 503)
    response.headers.push_back(
        {"Retry-After", fmt::format("{:.0f}", std::max(1.0, std::ceil(error.retry_s)))});
  if (error.status == 401) response.headers.push_back({"WWW-Authenticate", "Bearer"});
  response.body = json::serialize(error_json(call.dialect, error));
  respond(call, std::move(response));
}

void Api::write_log(const Call& call, int status, const FinishedRequest* finished,
                    const std::string& label) const {
  if (!options_.log) return;
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - call.received;
  json::object line{{"time", std::time(nullptr)}, {"request_id", call.id}, {"method", call.request.method},
                    {"path", call.request.path},  {"status", status},      {"seconds", taken.count()},
                    {"client", call.request.peer}};
  if (call.key) line["key"] = call.key->name;
  if (!label.empty()) line["user"] = label;
  if (finished != nullptr) {
    const engine::Usage& usage = finished->usage;
    line["model"] = finished->model;
    line["end"] = finished->reason;
    line["prompt_tokens"] = usage.prompt_tokens;
    line["cached_tokens"] = usage.cached_tokens;
    line["completion_tokens"] = usage.completion_tokens;
    line["queue_s"] = usage.queue_s;
    line["first_token_s"] = usage.first_token_s;
  }
  options_.log(json::serialize(line));
}

void Api::ready(Call& call) {
  bool well = !draining_;
  for (const auto& model : models_.all()) {
    models_.pool().visit(model->slot, [&](const ModelService& service) {
      const engine::ServiceStats stats = service.stats();
      if (stats.running > 0 && stats.since_step_s > options_.stuck_s) well = false;
    });
  }
  respond(call, {.status = well ? 200 : 503,
                 .headers = {{"Content-Type", "application/json"}},
                 .body = well ? R"({"status":"ready"})" : R"({"status":"not ready"})"});
}

void Api::metrics(Call& call) {
  std::optional<StoreStats> store;
  if (options_.accounts != nullptr) store = options_.accounts->stats();
  std::vector<ModelStats> stats;
  for (const auto& model : models_.all()) {
    if (model->adapter) continue;
    ModelStats& one = stats.emplace_back(ModelStats{.model = model->id});
    one.slot = models_.pool().stats(model->slot);
    models_.pool().visit(model->slot, [&one](const ModelService& service) { one.engine = service.stats(); });
  }
  respond(call, {.status = 200,
                 .headers = {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}},
                 .body = metrics_.render(stats, server_->stats(), store)});
}

void Api::root(Call& call) {
  respond(call,
          {.status = 200, .headers = {{"Content-Type", "text/plain"}}, .body = "Maestrale is running\n"});
}

}  // namespace maestrale::serve
