// Requests for models that are not loaded: they wait for the pool without a thread, and go on from there.
#include <memory>

#include "serve/api.h"

namespace maestrale::serve {

void Api::with_model(Call& call, const ServedModel& model, std::optional<double> keep_s, Go go) {
  if (const Lease service = models_.pool().lease(model.slot, keep_s)) return go(call, service);
  wait_for_model(std::move(call), model, keep_s, std::move(go));
}

void Api::wait_for_model(Call call, const ServedModel& model, std::optional<double> keep_s, Go go) {
  ModelPool& pool = models_.pool();
  const std::uint64_t ticket = pool.new_ticket();
  // Before the waiting begins, so that it comes before whatever else watches the client.
  server_->post([exchange = call.exchange, &pool, ticket] {
    exchange->watch([&pool, ticket] { pool.cancel(ticket); }, {});
  });
  const auto waiting = std::make_shared<Call>(std::move(call));
  const auto start = std::chrono::steady_clock::now();
  const auto ready = [this, waiting, start, go = std::move(go)](Result<Lease> lease) {
    const auto given = std::make_shared<Result<Lease>>(std::move(lease));
    const bool taken = workers_->push([this, waiting, start, go, given] {
      if (!given->ok()) {
        ApiError error = api_error(given->error());
        const ErrorKind kind = given->error().kind;
        error.status = kind == ErrorKind::kResource || kind == ErrorKind::kCancelled ? 503 : 500;
        return respond_error(*waiting, error);
      }
      waiting->load_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      go(*waiting, **given);
    });
    if (!taken) respond_error(*waiting, {.status = 503, .message = "too many requests are waiting"});
  };
  const Status waits = pool.wait(model.slot, ticket, keep_s, ready);
  if (!waits.ok()) respond_refusal(*waiting, waits.error());
}

void Api::only_load(Call& call, const ServedModel& model, std::shared_ptr<Translation> translation) {
  const auto answer = [translation](const Call& of, bool unloaded) {
    const AnswerFacts facts{
        .id = {}, .model = translation->model, .created_s = std::time(nullptr), .load_s = of.load_s};
    return translation->only_load(facts, unloaded);
  };
  ModelPool& pool = models_.pool();
  if (translation->keep_s != 0.0) {
    return with_model(call, model, translation->keep_s,
                      [this, answer](Call& held, const Lease&) { respond_json(held, answer(held, false)); });
  }
  if (pool.stats(model.slot).stays) {
    return respond_error(call, {.status = 400,
                                .message = "models stay loaded as long as the server runs; start it with "
                                           "--on-demand to unload them",
                                .field = "keep_alive"});
  }
  pool.unload(model.slot);
  respond_json(call, answer(call, true));
}

}  // namespace maestrale::serve
