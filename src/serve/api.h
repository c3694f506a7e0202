// The HTTP API: routes, guard, errors in each dialect's shape. Requests come from net::Server; what takes
// longer than a moment is done on a few threads of its own, and answers run through jobs.
#pragma once

#include <fmt/core.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>

#include "net/server.h"
#include "serve/accounts.h"
#include "serve/encoding.h"
#include "serve/guard.h"
#include "serve/job.h"
#include "serve/metrics.h"
#include "serve/models.h"
#include "serve/response_store.h"
#include "serve/work_queue.h"

namespace maestrale::serve {

struct ApiOptions {
  GuardOptions guard;
  std::string version;
  int workers = 2;
  double stuck_s = 60;  // /ready fails where a step takes longer
  double quiet_s = 10;  // streams that say nothing for so long show a sign of life; 0: none does
  // One line of JSON for each request; empty: no log.
  std::function<void(const std::string&)> log = {};
  Accounts* accounts = nullptr;  // keys with limits, and the ledger; outlives the Api
};

// What a route is given. `object`: the parsed body of a POST.
struct Call {
  net::Request request;
  std::shared_ptr<net::Exchange> exchange;
  DialectName dialect = DialectName::kOpenAi;
  std::string route = {}, id = {};
  std::shared_ptr<const ApiKey> key = {};                 // null: nobody's
  std::shared_ptr<Limits::Reservation> reservation = {};  // of tokens, where the key has limits
  double retry_s = 0;                                     // above 0: a limit of the key refused it
  double load_s = 0;                                      // that it waited for its model to be loaded
  std::chrono::steady_clock::time_point received = {};
  json::object object = {};

  std::string tenant() const { return key ? key->name : std::string(); }  // as metrics and usage show it
  // Whose work it is: a key that was created again under the same name is not the old one.
  std::string owner() const { return key && key->id ? fmt::format("{}#{}", key->name, *key->id) : tenant(); }
};

class Api {
 public:
  Api(Models models, ApiOptions options);
  ~Api();

  // Starts to listen; requests are answered from then on.
  Status listen(const net::ServerOptions& options);
  int port() const { return server_->port(); }
  // Refuses new requests, waits for answers under way, then closes everything.
  void drain(double seconds);

  // What net::Server calls.
  void handle(net::Request request, std::shared_ptr<net::Exchange> exchange);
  net::Response render_error(int status, std::string_view message, std::string_view path) const;

 private:
  using Read = Result<Translation> (*)(const json::object& body, const net::Request& request);
  using ReadEncoding = Result<Encoding> (*)(const json::object& body, const net::Request& request);
  struct Route;
  static const std::vector<Route>& routes();

  void dispatch(const Route& route, Call call);
  void generate(Call& call, Read read);
  void encode(Call& call, ReadEncoding read);
  // What is to be done with a model's service.
  using Go = std::function<void(Call& call, const Lease& service)>;
  // At once where the model is loaded; else the call waits for it, and goes on with a thread of `workers_`.
  void with_model(Call& call, const ServedModel& model, std::optional<double> keep_s, Go go);
  void wait_for_model(Call call, const ServedModel& model, std::optional<double> keep_s, Go go);
  void only_load(Call& call, const ServedModel& model, std::shared_ptr<Translation> translation);
  void ask_service(const Route& route, Call& call);
  void submit_encoding(Call& call, const ServedModel& model, const Lease& service, Encoding encoding);
  void give_encoded(const Call& call, const Encoding& encoding, const ServedModel& model,
                    const Result<engine::EncodeAnswer>& answer);
  // A request that the model has taken.
  struct Asked {
    const ServedModel* model;
    Lease service;
    std::unique_ptr<chat::Answer> answer;
  };
  Result<Asked> ask(Call& call, Translation& translation, const ServedModel& model, const Lease& service);
  void start(Call call, Translation translation, Asked asked);
  void start_job(Call call, Translation translation, Asked asked);
  bool admit(const Call& call);
  // Reserves the tokens of a request, or says in the call when to come again.
  Status reserve(Call& call, std::int64_t tokens);
  void record(const Call& call, const std::string& uid, const FinishedRequest& finished);
  void add_limits(const Call& call, std::vector<net::Header>& headers) const;
  void respond(const Call& call, net::Response response);
  void respond_json(const Call& call, const json::value& value);
  void respond_error(const Call& call, const ApiError& error);
  void respond_refusal(const Call& call, const Error& error);  // of a model's queue
  void answer_plain(Call& call, Result<json::value> (Api::*make)(const Call&));
  void write_log(const Call& call, int status, const FinishedRequest* finished,
                 const std::string& label) const;
  std::vector<net::Header> common_headers(const Call& call) const;

  Result<json::value> models(const Call& call);
  Result<json::value> model(const Call& call);
  Result<json::value> count_tokens(const Call& call, const ModelService& service);
  Result<json::value> tokenize(const Call& call, const ModelService& service);
  Result<json::value> detokenize(const Call& call, const ModelService& service);
  Result<json::value> tags(const Call& call);
  Result<json::value> running(const Call& call);
  Result<json::value> show(const Call& call);
  Result<json::value> version(const Call& call);
  Result<json::value> health(const Call& call);
  void create_response(Call& call);
  void stored_response(Call& call);
  Result<json::value> stored_response_json(const Call& call);
  Result<json::value> response_input_items(const Call& call, const std::string& id);
  Result<json::value> count_response_tokens(const Call& call, const ModelService& service);
  void ready(Call& call);
  void metrics(Call& call);
  void root(Call& call);

  Models models_;
  ApiOptions options_;
  Guard guard_;
  Metrics metrics_;
  ResponseStore responses_;
  std::atomic<bool> draining_{false};
  std::unique_ptr<net::Server> server_;
  std::unordered_set<std::shared_ptr<Job>> jobs_;  // of the server's thread
  std::unique_ptr<WorkQueue> workers_;
};

// Which API a path (and its client) belongs to.
DialectName dialect_of(const net::Request& request);

}  // namespace maestrale::serve
