#include "serve/job.h"

#include <boost/json/serialize.hpp>

#include "serve/dialects/openai.h"

namespace maestrale::serve {
namespace {

// Events wait in the engine's bounded stream, not here, while the client is slow.
constexpr std::size_t kMostPending = 16 << 10;

double seconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

void Job::start() {
  if (options_.translation.stream) {
    net::Response head{.status = 200, .headers = options_.headers};
    head.headers.push_back({"Content-Type", options_.translation.writer->stream_type()});
    head.headers.push_back({"Cache-Control", "no-cache"});
    head.headers.push_back({"X-Accel-Buffering", "no"});
    head.body = options_.translation.writer->begin(options_.facts);
    options_.exchange->begin(std::move(head));
    const std::string sign = options_.translation.writer->sign_of_life();
    if (options_.quiet_s > 0 && !sign.empty()) options_.exchange->keep_alive(sign, options_.quiet_s);
  }
  const std::weak_ptr<Job> weak = weak_from_this();
  options_.exchange->watch(
      [weak] {
        if (const auto job = weak.lock()) job->left();
      },
      [weak] {
        if (const auto job = weak.lock()) job->pump();
      });
  options_.answer->notify([weak, post = options_.post] {
    post([weak] {
      if (const auto job = weak.lock()) job->pump();
    });
  });
  pump();
}

void Job::left() {
  gone_ = true;
  if (over_) return;
  options_.answer->cancel();
  pump();
}

void Job::pump() {
  if (pumping_ || over_) return;
  pumping_ = true;
  const auto self = shared_from_this();
  while (!over_ && (gone_ || options_.exchange->pending() < kMostPending)) {
    auto event = options_.answer->try_next();
    if (!event) break;
    take(*std::move(event));
  }
  pumping_ = false;
}

void Job::measure(const chat::AnswerEvent& event) {
  if (const auto* end = std::get_if<chat::ChoiceDone>(&event.what)) {
    reason_ = end->end == chat::End::kCancelled ? "cancelled" : std::string(openai_finish(end->end));
    return;
  }
  if (!std::holds_alternative<chat::ChoiceDelta>(event.what)) return;
  const auto now = std::chrono::steady_clock::now();
  if (!any_token_) {
    options_.metrics->first_token(options_.model, seconds(now - options_.received));
  } else if (event.choice == 0) {
    options_.metrics->next_token(options_.model, seconds(now - last_token_));
  }
  any_token_ = true;
  last_token_ = now;
}

void Job::take(chat::AnswerEvent event) {
  measure(event);
  const auto* done = std::get_if<chat::AnswerDone>(&event.what);
  if (options_.translation.stream) {
    if (!gone_) options_.exchange->write(options_.translation.writer->event(options_.facts, event));
    if (done != nullptr) finish(*done);
    return;
  }
  if (!gone_ && options_.translation.writer->sees_events())
    (void)options_.translation.writer->event(options_.facts, event);
  if (done != nullptr) {
    const chat::AnswerDone copy = *done;
    collect(collected_, std::move(event));
    return finish(copy);
  }
  if (!gone_) collect(collected_, std::move(event));
}

void Job::respond(const chat::AnswerDone& done) {
  net::Response response{.status = 200, .headers = options_.headers};
  response.headers.push_back({"Content-Type", "application/json"});
  if (done.error) {
    ApiError error = api_error(*done.error);
    if (error.status < 500) error.status = 503;  // the request was sound: it was accepted
    response.status = error.status;
    response.body = json::serialize(error_json(options_.dialect, error));
  } else {
    response.body = json::serialize(options_.translation.writer->whole(options_.facts, collected_));
  }
  options_.exchange->respond(std::move(response));
}

void Job::finish(const chat::AnswerDone& done) {
  over_ = true;
  if (!options_.translation.stream) respond(done);
  if (options_.translation.stream) options_.exchange->end();
  if (gone_) reason_ = "cancelled";
  if (done.error && !gone_) reason_ = "error";
  const FinishedRequest finished{.model = options_.model,
                                 .tenant = options_.tenant,
                                 .route = options_.route,
                                 .reason = reason_,
                                 .usage = done.usage};
  options_.metrics->finished(finished);
  options_.answer->notify({});
  options_.finished(finished, done.error && !options_.translation.stream ? 503 : 200);
}

}  // namespace maestrale::serve
