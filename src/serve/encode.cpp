// Embeddings and reranking: from the request to the encoder's queue, and back.
#include <boost/json/serialize.hpp>
#include <ctime>

#include "serve/api.h"

namespace maestrale::serve {

void Api::encode(Call& call, ReadEncoding read) {
  auto encoding = read(call.object, call.request);
  if (!encoding.ok()) return respond_error(call, api_error(encoding.error()));
  const auto model = models_.find_encoder(encoding->model);
  if (!model.ok()) return respond_error(call, api_error(model.error()));
  const auto held_encoding = std::make_shared<Encoding>(std::move(encoding).value());
  with_model(call, **model, held_encoding->keep_s,
             [this, held_encoding, named = *model](Call& held, const Lease& service) {
               submit_encoding(held, *named, service, std::move(*held_encoding));
             });
}

void Api::submit_encoding(Call& call, const ServedModel& model, const Lease& service, Encoding encoding) {
  call.object = {};
  auto shared = std::make_shared<std::pair<Call, Encoding>>(call, std::move(encoding));
  // Called on the encoder's thread, which has better to do than to write numbers.
  engine::EncodeDone done = [this, shared, served = &model, service](Result<engine::EncodeAnswer> answer) {
    auto result = std::make_shared<Result<engine::EncodeAnswer>>(std::move(answer));
    const bool taken = workers_->push(
        [this, shared, served, result] { give_encoded(shared->first, shared->second, *served, *result); });
    if (!taken) respond_error(shared->first, {.status = 503, .message = "too many requests are waiting"});
  };
  chat::Encoder& encoder = *service->encoder;
  auto* embed = std::get_if<chat::EmbedRequest>(&shared->second.request);
  auto* rerank = std::get_if<chat::RerankRequest>(&shared->second.request);
  (embed != nullptr ? embed->tenant : rerank->tenant) = call.tenant();
  auto flag =
      embed != nullptr ? encoder.embed(*embed, std::move(done)) : encoder.rerank(*rerank, std::move(done));
  if (!flag.ok()) return respond_refusal(call, flag.error());
  server_->post(
      [exchange = call.exchange, cancel = *flag] { exchange->watch([cancel] { *cancel = true; }, {}); });
}

void Api::give_encoded(const Call& call, const Encoding& encoding, const ServedModel& model,
                       const Result<engine::EncodeAnswer>& answer) {
  FinishedRequest finished{.model = model.id, .tenant = call.tenant(), .route = call.route};
  if (answer.ok()) finished.usage = answer->usage;
  finished.reason = answer.ok()                                    ? "stop"
                    : answer.error().kind == ErrorKind::kCancelled ? "cancelled"
                                                                   : "error";
  metrics_.finished(finished);
  record(call, new_id(24), finished);
  if (!answer.ok()) {
    ApiError error = api_error(answer.error());
    if (error.status < 500) error.status = 503;  // the request was sound: it was accepted
    return respond_error(call, error);
  }
  const AnswerFacts facts{.id = new_id(24),
                          .model = encoding.model,
                          .created_s = std::time(nullptr),
                          .prompt_tokens = answer->usage.prompt_tokens,
                          .load_s = call.load_s};
  net::Response response{.status = 200, .headers = common_headers(call)};
  response.headers.push_back({"Content-Type", "application/json"});
  response.body = json::serialize(encoding.write(facts, *answer));
  metrics_.responded(call.route, response.status);
  write_log(call, response.status, &finished, encoding.label);
  call.exchange->respond(std::move(response));
}

}  // namespace maestrale::serve
