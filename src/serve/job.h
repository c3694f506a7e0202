// One answer on its way from the engine to a client. Everything runs on the server's thread but the engine's
// notice that there is more.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "chat/answer.h"
#include "net/server.h"
#include "serve/metrics.h"
#include "serve/translation.h"

namespace maestrale::serve {

using Post = std::function<void(std::function<void()>)>;  // runs it on the server's thread

struct JobOptions {
  std::shared_ptr<const void> lease = {};  // what the answer hangs on: it goes after it
  Translation translation;
  AnswerFacts facts;
  std::unique_ptr<chat::Answer> answer;
  std::shared_ptr<net::Exchange> exchange = {};
  std::vector<net::Header> headers = {};  // of the response
  std::string model = {}, tenant = {}, route = {};
  std::chrono::steady_clock::time_point received = {};
  double quiet_s = 0;  // a stream that says nothing for so long shows a sign of life; 0: none does
  DialectName dialect = DialectName::kOpenAi;
  Metrics* metrics = nullptr;
  Post post = {};
  // The answer is over, also where the client left before.
  std::function<void(const FinishedRequest&, int status)> finished = {};
};

class Job : public std::enable_shared_from_this<Job> {
 public:
  explicit Job(JobOptions options) : options_(std::move(options)) {}
  // Somebody must hold the job until `finished` has been called.
  void start();

 private:
  void pump();
  void take(chat::AnswerEvent event);
  void measure(const chat::AnswerEvent& event);
  void finish(const chat::AnswerDone& done);
  void respond(const chat::AnswerDone& done);
  void left();

  JobOptions options_;
  Collected collected_;
  std::chrono::steady_clock::time_point last_token_{};
  std::string reason_ = "stop";
  bool any_token_ = false, gone_ = false, over_ = false, pumping_ = false;
};

}  // namespace maestrale::serve
