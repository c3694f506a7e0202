// For tests: a service that answers every request with the same text, one byte a token.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "chat/byte_vocabulary.h"
#include "chat/service.h"
#include "engine/test_support.h"
#include "serve/models.h"

namespace maestrale::serve {

class FakeStream final : public engine::AnswerStream {
 public:
  std::optional<engine::ServiceEvent> try_next() override {
    const std::lock_guard lock(mutex_);
    return take();
  }
  std::optional<engine::ServiceEvent> next() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !events_.empty() || over_; });
    return take();
  }
  void notify(std::function<void()> ready) override {
    const std::lock_guard lock(mutex_);
    ready_ = std::move(ready);
    if (ready_ && !events_.empty()) ready_();
  }
  void cancel() override { cancelled = true; }
  void push(engine::ServiceEvent event) {
    const std::lock_guard lock(mutex_);
    over_ = over_ || std::holds_alternative<engine::RequestEnd>(event.what);
    events_.push_back(std::move(event));
    changed_.notify_all();
    if (ready_) ready_();
  }
  std::atomic<bool> cancelled{false};

 private:
  std::optional<engine::ServiceEvent> take() {
    if (events_.empty()) return std::nullopt;
    engine::ServiceEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<engine::ServiceEvent> events_;
  std::function<void()> ready_;
  bool over_ = false;
};

struct FakeScript {
  std::string reply = "hello";
  std::chrono::milliseconds pause{0};  // before each token
  bool full = false;                   // the queue
  engine::FinishReason reason = engine::FinishReason::kStopToken;
  std::atomic<int> cancelled{0}, finished{0};
  std::atomic<double> weight{0};  // of the last request
};

class FakeService final : public engine::Service {
 public:
  FakeService(std::unique_ptr<engine::Engine> engine, FakeScript& script)
      : engine_(std::move(engine)), script_(script) {}
  ~FakeService() override {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  Result<std::shared_ptr<engine::AnswerStream>> submit(engine::ServiceRequest request) override {
    if (script_.full) return Error{.kind = ErrorKind::kResource, .what = "the queue is full"};
    script_.weight = request.weight;
    auto stream = std::make_shared<FakeStream>();
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([this, stream, request = std::move(request)] { run(*stream, request); });
    return std::shared_ptr<engine::AnswerStream>(stream);
  }
  const engine::Engine& engine() const override { return *engine_; }
  engine::ServiceStats stats() const override { return {}; }
  void drain(double) override {}

 private:
  void run(FakeStream& stream, const engine::ServiceRequest& request) {
    engine::RequestEnd end;
    end.usage.prompt_tokens = static_cast<std::int64_t>(request.generate.prompt.size());
    for (int choice = 0; choice < request.choices; ++choice) {
      engine::FinishReason reason = script_.reason;
      for (const char byte : script_.reply) {
        std::this_thread::sleep_for(script_.pause);
        if (stream.cancelled || stop_) reason = engine::FinishReason::kCancelled;
        if (end.usage.completion_tokens == request.generate.max_tokens)
          reason = engine::FinishReason::kLength;
        if (reason != script_.reason) break;
        engine::TokenEvent token;
        token.token = static_cast<unsigned char>(byte);
        token.text = std::string(1, byte);
        token.logprob = -0.5F;
        for (std::int64_t i = 0; i < request.generate.sampling.logprobs; ++i)
          token.top_logprobs.push_back({.token = static_cast<text::TokenId>('a' + i), .logprob = -0.5F});
        ++end.usage.completion_tokens;
        stream.push({.choice = choice, .what = std::move(token)});
      }
      script_.cancelled += reason == engine::FinishReason::kCancelled;
      stream.push({.choice = choice, .what = engine::ChoiceEnd{.reason = reason}});
    }
    stream.push({.choice = 0, .what = end});
    ++script_.finished;
  }

  std::unique_ptr<engine::Engine> engine_;
  FakeScript& script_;
  std::mutex mutex_;
  std::vector<std::thread> threads_;
  std::atomic<bool> stop_{false};
};

inline constexpr const char* kFakeTemplate =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }} {{ c.function.arguments | tojson "
    "}}</tool_call>"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if tools %}{% for t in tools %}[{{ t.function.name }}]{% endfor %}{% endif %}"
    "{% if enable_thinking is defined and not enable_thinking %}no thoughts{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

inline std::unique_ptr<chat::ChatService> fake_chat(FakeScript& script, std::int64_t context = 600) {
  files::Checkpoint checkpoint = engine::tiny_checkpoint({.context = context});
  checkpoint.tokenizer = chat::bytes_and({"<|im_start|>", "<|im_end|>"});
  checkpoint.chat_template = kFakeTemplate;
  auto engine =
      engine::Engine::load(std::move(checkpoint), {.threads = 1, .context = context, .batch_rows = 16});
  EXPECT_TRUE(engine.ok()) << engine.error().render();
  auto chat = chat::ChatService::create(std::make_unique<FakeService>(std::move(engine).value(), script));
  EXPECT_TRUE(chat.ok()) << chat.error().render();
  return std::move(chat).value();
}

inline std::shared_ptr<ModelService> fake_model(FakeScript& script, std::int64_t context = 600) {
  auto service = std::make_shared<ModelService>();
  service->chat = fake_chat(script, context);
  return service;
}

}  // namespace maestrale::serve
