// Models that are loaded on demand, as clients of every API see it.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/json/serialize.hpp>
#include <future>
#include <thread>

#include "serve/api_test_support.h"

namespace maestrale::serve {
namespace {

constexpr std::uint64_t kBytes = 60;

class OnDemandTest : public ApiFixture {
 protected:
  class Opened final : public OpenedModel {
   public:
    explicit Opened(OnDemandTest& test) : test_(test) {}
    Result<std::uint64_t> plan(std::uint64_t most) override {
      if (most >= kBytes) return kBytes;
      return Error{.kind = ErrorKind::kResource,
                   .what = "the model does not fit in memory",
                   .expected = "at most " + std::to_string(most) + " bytes",
                   .found = "60 bytes"};
    }
    Result<std::shared_ptr<ModelService>> load(std::uint64_t) override {
      if (test_.gate_.valid()) test_.gate_.wait();
      if (test_.broken_) return Error{.kind = ErrorKind::kInvalidInput, .what = "a tensor is cut short"};
      return fake_model(test_.script_);
    }

   private:
    OnDemandTest& test_;
  };

  void start(PoolOptions pool = {.memory = 100}, ApiOptions options = {.guard = {}, .version = "1"}) {
    Models models(std::move(pool));
    const ModelFacts facts = ModelFacts::of(*fake_model(script_));
    for (const char* name : {"a", "b"}) {
      const OpenModel open = [this]() -> Result<std::unique_ptr<OpenedModel>> {
        return std::unique_ptr<OpenedModel>(std::make_unique<Opened>(*this));
      };
      ASSERT_TRUE(models.add({.id = name, .created_s = 1, .file_bytes = 7, .facts = facts}, open).ok());
    }
    ASSERT_TRUE(models.add_adapter("tuned", "a", {.index = 0}).ok());
    serve(std::move(models), std::move(options));
  }
  static std::string chat(const std::string& model, const std::string& more = R"("stream":false,)") {
    return "{" + more + R"("model":")" + model + R"(","messages":[{"role":"user","content":"hi"}]})";
  }
  // The names of the models that are loaded now.
  std::string loaded() {
    std::string names;
    const json::value models = get("/api/ps").at("models");
    for (const json::value& model : models.as_array()) names += model.at("name").as_string();
    return names;
  }
  void await_loaded(const std::string& names) {
    for (int i = 0; i < 500 && loaded() != names; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(loaded(), names);
  }
  bool metric(const std::string& line) {
    return send("GET", "/metrics").body.find("maestrale_" + line + "\n") != std::string::npos;
  }
  std::future<net::Response> ask_beside(std::string path, std::string body) {
    return std::async(std::launch::async, [this, path = std::move(path), body = std::move(body)] {
      return send(*new_client(), "POST", path, body);
    });
  }

  std::shared_future<void> gate_;
  std::atomic<bool> broken_{false};
};

TEST_F(OnDemandTest, ListsAllAndLoadsNone) {
  start();
  EXPECT_EQ(get("/api/tags").at("models").as_array().size(), 3);
  EXPECT_EQ(get("/v1/models").at("data").at(2).at("parent"), "a");
  EXPECT_EQ(get("/v1/models/b").at("context_length"), 600);
  const json::value shown = post("/api/show", R"({"model":"b"})");
  EXPECT_EQ(shown.at("capabilities").at(1), "tools");
  EXPECT_EQ(shown.at("template"), kFakeTemplate);
  EXPECT_EQ(send("GET", "/ready").status, 200);
  EXPECT_EQ(loaded(), "");
  EXPECT_TRUE(metric(R"(model_loaded{model_name="a"} 0)"));
  (void)post("/v1/chat/completions", R"({"model":"c","messages":[]})", 400);  // refused before any model is
  EXPECT_EQ(loaded(), "");
}

TEST_F(OnDemandTest, EveryWayOfAskingLoads) {
  start({.memory = 100, .keep_s = 0});
  const auto ask = [this](const std::string& path, const std::string& body) {
    const json::value answer = post(path, body);
    await_loaded("");
    return json::serialize(answer);
  };
  EXPECT_NE(ask("/v1/chat/completions", chat("a")).find("hello"), std::string::npos);
  EXPECT_NE(ask("/v1/chat/completions", chat("tuned")).find("hello"), std::string::npos);
  EXPECT_NE(ask("/v1/completions", R"({"model":"b","prompt":"x"})").find("hello"), std::string::npos);
  EXPECT_NE(ask("/v1/messages", chat("a", R"("max_tokens":9,)")).find("hello"), std::string::npos);
  EXPECT_NE(ask("/v1/responses", R"({"model":"a","input":"x"})").find("hello"), std::string::npos);
  EXPECT_NE(ask("/api/generate", R"({"model":"a","prompt":"x","stream":false})").find("hello"),
            std::string::npos);
  EXPECT_EQ(ask("/tokenize", R"({"model":"b","prompt":"a"})"),
            R"({"tokens":[97],"count":1,"max_model_len":600})");
  EXPECT_EQ(ask("/detokenize", R"({"model":"b","tokens":[97]})"), R"({"prompt":"a"})");
  EXPECT_NE(ask("/v1/messages/count_tokens", chat("a", "")).find("input_tokens"), std::string::npos);
  EXPECT_NE(ask("/v1/responses/input_tokens", R"({"model":"a","input":"x"})").find("input_tokens"),
            std::string::npos);
  EXPECT_TRUE(metric(R"(model_loads_total{model_name="a"} 7)")) << send("GET", "/metrics").body;
  EXPECT_TRUE(metric(R"(model_unloads_total{model_name="b"} 3)"));
}

TEST_F(OnDemandTest, BackgroundResponsesHoldTheirModel) {
  script_.pause = std::chrono::milliseconds(30);
  start({.memory = 100, .keep_s = 0});
  const json::value begun = post("/v1/responses", R"({"model":"a","input":"x","background":true})");
  const std::string path = "/v1/responses/" + std::string(begun.at("id").as_string());
  EXPECT_EQ(loaded(), "atuned");
  for (int i = 0; i < 300 && get(path).at("status") != "completed"; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_NE(json::serialize(get(path)).find("hello"), std::string::npos);
  await_loaded("");
}

TEST_F(OnDemandTest, StreamsHoldTheirModelAndOthersTakeTurns) {
  script_.pause = std::chrono::milliseconds(50);
  start();
  auto first = ask_beside("/v1/chat/completions", chat("a", R"("stream":true,)"));
  await_loaded("atuned");
  auto second = ask_beside("/v1/chat/completions", chat("b"));
  const net::Response streamed = first.get();
  EXPECT_TRUE(streamed.body.ends_with("data: [DONE]\n\n")) << streamed.body;
  EXPECT_NE(second.get().body.find("hello"), std::string::npos);
  EXPECT_EQ(loaded(), "b");
  EXPECT_EQ(script_.cancelled, 0);
}

TEST_F(OnDemandTest, OllamaKeepsAsLongAsItIsTold) {
  start();
  EXPECT_EQ(json::serialize(post("/api/generate", R"({"model":"a"})").at("done_reason")), R"("load")");
  EXPECT_EQ(loaded(), "atuned");
  const json::value unloaded = post("/api/chat", R"({"model":"a","messages":[],"keep_alive":0})");
  EXPECT_EQ(unloaded.at("done_reason"), "unload");
  EXPECT_EQ(unloaded.at("message").at("content"), "");
  await_loaded("");
  (void)post("/api/chat", chat("a", R"("stream":false,"keep_alive":-1,)"));
  EXPECT_TRUE(get("/api/ps").at("models").at(0).at("expires_at").as_string().starts_with("2318-"));
  EXPECT_EQ(get("/api/ps").at("models").at(0).at("size"), kBytes);
  const json::value last = post("/api/chat", chat("a", R"("stream":false,"keep_alive":"0s",)"));
  EXPECT_EQ(last.at("message").at("content"), "hello");
  await_loaded("");
  const json::value first = post("/api/generate", R"({"model":"a","prompt":"x","stream":false})");
  EXPECT_GT(first.at("load_duration").as_int64(), 0);
  EXPECT_GE(first.at("total_duration").as_int64(), first.at("load_duration").as_int64());
  EXPECT_FALSE(get("/api/ps").at("models").at(0).at("expires_at").as_string().starts_with("2318-"));
}

TEST_F(OnDemandTest, WhatCannotBeLoadedIsSaidInEveryShape) {
  start({.memory = 50});
  const net::Response refused = send("POST", "/v1/chat/completions", chat("a"));
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(header(refused, "retry-after"), "1");
  EXPECT_EQ(
      parsed(refused.body).at("error").at("message"),
      "the model 'a' cannot be loaded: the model does not fit in memory: expected at most 50 bytes, found "
      "60 bytes");
  EXPECT_EQ(post("/v1/messages", chat("a", R"("max_tokens":9,)"), 503).at("error").at("type"),
            "overloaded_error");
  EXPECT_TRUE(post("/api/chat", chat("a"), 503).at("error").is_string());
  EXPECT_EQ(send("GET", "/health").status, 200);
  EXPECT_TRUE(metric(R"(model_load_failures_total{model_name="a"} 3)"));
}

TEST_F(OnDemandTest, ABrokenFileFailsItsRequestAlone) {
  start();
  broken_ = true;
  const json::value error = post("/v1/chat/completions", chat("a"), 500).at("error");
  EXPECT_EQ(error.at("message"), "the model 'a' cannot be loaded: a tensor is cut short");
  EXPECT_EQ(error.at("type"), "server_error");
  broken_ = false;
  EXPECT_NE(json::serialize(post("/v1/chat/completions", chat("b"))).find("hello"), std::string::npos);
}

TEST_F(OnDemandTest, TheQueueIsBoundedAndWhoLeavesLeavesIt) {
  std::promise<void> gate;
  gate_ = gate.get_future().share();
  start({.memory = 100, .queue = 1});
  {
    auto gone = net::make_client({.host = "127.0.0.1", .port = api_->port()}, 0.2);
    EXPECT_FALSE(gone->send({.method = "POST",
                             .path = "/v1/chat/completions",
                             .query = {},
                             .headers = {},
                             .body = chat("a"),
                             .peer = {}})
                     .ok());
  }
  const std::string none = R"(model_waiting_requests{model_name="a"} 0)";
  for (int i = 0; i < 300 && !metric(none); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(metric(none));
  auto waits = ask_beside("/v1/chat/completions", chat("a"));
  const std::string one = R"(model_waiting_requests{model_name="a"} 1)";
  for (int i = 0; i < 300 && !metric(one); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(post("/v1/chat/completions", chat("a"), 429).at("error").at("code"), "rate_limit_exceeded");
  EXPECT_EQ(send("GET", "/health").status, 200);  // nobody else waits
  gate.set_value();
  EXPECT_EQ(waits.get().status, 200);
}

TEST_F(OnDemandTest, ShutdownFinishesWhoWaits) {
  std::promise<void> gate;
  gate_ = gate.get_future().share();
  start();
  auto waits = ask_beside("/v1/chat/completions", chat("a"));
  const std::string one = R"(model_waiting_requests{model_name="a"} 1)";
  for (int i = 0; i < 300 && !metric(one); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  auto drained = std::async(std::launch::async, [this] { api_->drain(20); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  gate.set_value();
  drained.get();
  const net::Response answer = waits.get();
  EXPECT_TRUE(answer.status == 200 || answer.status == 503) << answer.status << answer.body;
}

}  // namespace
}  // namespace maestrale::serve
