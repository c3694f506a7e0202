#include "serve/api.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "serve/api_test_support.h"

namespace maestrale::serve {
namespace {

class ApiTest : public ApiFixture {
 protected:
  void start(GuardOptions guard = {}, double quiet_s = 10) {
    Models models;
    ASSERT_TRUE(models.add({.id = "tiny", .created_s = 1}, fake_model(script_)).ok());
    serve(std::move(models), {.guard = std::move(guard), .version = "1", .quiet_s = quiet_s});
  }
};

TEST_F(ApiTest, AnswersInEveryDialect) {
  start();
  EXPECT_EQ(post("/v1/chat/completions", kHello).at("choices").at(0).at("message").at("content"), "hello");
  EXPECT_EQ(
      post("/v1/completions", R"({"model":"tiny","prompt":"x","echo":true})").at("choices").at(0).at("text"),
      "xhello");
  EXPECT_EQ(
      post("/v1/messages", R"({"model":"tiny","max_tokens":9,"messages":[{"role":"user","content":"hi"}]})")
          .at("content")
          .at(0)
          .at("text"),
      "hello");
  const std::string ollama =
      R"({"model":"tiny:latest","stream":false,"messages":[{"role":"user","content":"hi"}]})";
  EXPECT_EQ(post("/api/chat", ollama).at("message").at("content"), "hello");
  EXPECT_EQ(post("/api/generate", R"({"model":"tiny","stream":false,"prompt":"hi"})").at("response"),
            "hello");
}

TEST_F(ApiTest, StreamsInEveryDialect) {
  start();
  const auto stream = [this](std::string path, std::string body) {
    const net::Response response = send("POST", std::move(path), std::move(body));
    EXPECT_EQ(response.status, 200) << response.body;
    return response.body;
  };
  const std::string chat = stream(
      "/v1/chat/completions",
      R"({"model":"tiny","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]})");
  EXPECT_NE(chat.find(R"("delta":{"content":"h"})"), std::string::npos) << chat;
  EXPECT_NE(chat.find(R"("completion_tokens":5)"), std::string::npos);
  EXPECT_TRUE(chat.ends_with("data: [DONE]\n\n"));
  const std::string messages =
      stream("/v1/messages",
             R"({"model":"tiny","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]})");
  EXPECT_TRUE(messages.starts_with("event: message_start\n"));
  EXPECT_NE(messages.find(R"("stop_reason":"end_turn")"), std::string::npos) << messages;
  const std::string lines = stream("/api/chat", kHello);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 6);
  EXPECT_NE(lines.find(R"("done_reason":"stop")"), std::string::npos);
}

TEST_F(ApiTest, SaysHowLongItTookWhenAsked) {
  start();
  std::string body = kHello;
  EXPECT_FALSE(post("/v1/chat/completions", body).as_object().contains("timings"));
  body.insert(1, R"("timings":true,)");
  const json::value timings = post("/v1/chat/completions", body).at("timings");
  EXPECT_EQ(timings.at("predicted_n"), 5);
  EXPECT_TRUE(timings.as_object().contains("prompt_ms"));
  body.insert(1, R"("stream":true,)");
  const std::string stream = send("POST", "/v1/chat/completions", body).body;
  EXPECT_NE(stream.find(R"("choices":[],"timings":{"queue_ms")"), std::string::npos) << stream;
  EXPECT_TRUE(stream.ends_with("data: [DONE]\n\n"));
  EXPECT_TRUE(post("/v1/completions", R"({"model":"tiny","prompt":"x","timings":true})")
                  .as_object()
                  .contains("timings"));
  EXPECT_EQ(
      post("/v1/completions", R"({"model":"tiny","prompt":"x","timings":1})", 400).at("error").at("param"),
      "timings");
}

TEST_F(ApiTest, EveryDialectSaysHowLongItTook) {
  start();
  const std::string messages =
      R"("timings":true,"model":"tiny","max_tokens":9,"messages":[{"role":"user","content":"hi"}]})";
  const auto predicted = [](const json::value& answer) {
    return answer.at("timings").at("predicted_n").as_int64();
  };
  EXPECT_EQ(predicted(post("/v1/messages", "{" + messages)), 5);
  EXPECT_EQ(predicted(post("/v1/responses", R"({"timings":true,"model":"tiny","input":"hi"})")), 5);
  const auto last_event = [&](const std::string& path, const std::string& body, std::string_view type,
                              std::vector<net::Header> headers = {}) {
    const std::string stream = send("POST", path, body, std::move(headers)).body;
    const std::size_t event = stream.rfind(type);
    return event == std::string::npos ? stream : stream.substr(event);
  };
  const std::string said = R"("timings":{"queue_ms":)";
  EXPECT_NE(last_event("/v1/messages", R"({"stream":true,)" + messages, "event: message_delta").find(said),
            std::string::npos);
  EXPECT_NE(last_event("/v1/responses", R"({"timings":true,"stream":true,"model":"tiny","input":"hi"})",
                       "event: response.completed")
                .find(said),
            std::string::npos);
  // Mistral's clients want a choice in every chunk.
  const std::string mistral = last_event("/v1/chat/completions", R"({"stream":true,)" + messages,
                                         R"("finish_reason":"stop")", {{"User-Agent", "mistral-client"}});
  EXPECT_NE(mistral.find(said), std::string::npos) << mistral;
  EXPECT_EQ(mistral.find(R"("choices":[])"), std::string::npos);
  EXPECT_FALSE(post("/v1/messages", "{" + messages.substr(messages.find("\"model\"")))
                   .as_object()
                   .contains("timings"));
}

TEST_F(ApiTest, QuietStreamsShowASignOfLife) {
  script_.pause = std::chrono::milliseconds(700);
  script_.reply = "hi";
  start({}, 0.25);
  const auto stream = [this](std::string path, std::string more) {
    std::string body = kHello;
    body.insert(1, R"("stream":true,)" + more);
    return send("POST", std::move(path), body).body;
  };
  const auto count = [](const std::string& text, std::string_view sign) {
    int found = 0;
    for (std::size_t at = 0; (at = text.find(sign, at)) != std::string::npos; at += sign.size()) ++found;
    return found;
  };
  const std::string chat = stream("/v1/chat/completions", "");
  EXPECT_GE(count(chat, ": keep-alive\n\n"), 2) << chat;
  EXPECT_LE(count(chat, ": keep-alive\n\n"), 6) << chat;
  EXPECT_TRUE(chat.ends_with("data: [DONE]\n\n"));
  const std::string messages = stream("/v1/messages", R"("max_tokens":9,)");
  EXPECT_TRUE(messages.starts_with("event: message_start\n"));
  EXPECT_GE(count(messages, "event: ping\ndata: {\"type\":\"ping\"}\n\n"), 2) << messages;
  EXPECT_EQ(count(messages, "keep-alive"), 0);
  const std::string lines = stream("/api/chat", "");
  EXPECT_EQ(count(lines, "\n"), 3) << lines;  // NDJSON has no comments
}

TEST_F(ApiTest, GoesOnWithTheLastMessage) {
  start();
  const std::string begun =
      R"("messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"oh, ")";
  const auto body = [&](const std::string& more, const std::string& of_message = "") {
    return R"({"model":"tiny",)" + more + begun + of_message + "}]}";
  };
  const auto content = [](const json::value& answer) {
    return answer.at("choices").at(0).at("message").at("content");
  };
  EXPECT_EQ(content(post("/v1/chat/completions", body(R"("continue_final_message":true,)"))), "hello");
  EXPECT_EQ(content(post("/v1/chat/completions", body(R"("continue_final_message":true,"echo":true,)"))),
            "oh, hello");
  EXPECT_EQ(content(post("/v1/chat/completions", body("", R"(,"prefix":true)"))), "oh, hello");
  const std::string stream =
      send("POST", "/v1/chat/completions", body(R"("stream":true,)", R"(,"prefix":true)")).body;
  EXPECT_NE(stream.find(R"("delta":{"content":"oh, "})"), std::string::npos) << stream;
  EXPECT_EQ(post("/api/chat", body(R"("stream":false,)")).at("message").at("content"), "hello");
  // What the prompt is: the template without its end of turn.
  const auto tokens = [this](const std::string& asked) {
    return post("/v1/chat/completions", asked).at("usage").at("prompt_tokens").as_int64();
  };
  EXPECT_EQ(tokens(body(R"("continue_final_message":true,)")), tokens(kHello) + 4);
  const auto field = [this](const std::string& asked) {
    return std::string(post("/v1/chat/completions", asked, 400).at("error").at("param").as_string());
  };
  const std::string called = R"(,"tool_calls":[{"id":"a","function":{"name":"f"}}],"prefix":true)";
  EXPECT_EQ(field(body("", called)), "messages[1].tool_calls");
  const std::string tools =
      R"("tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required",)";
  EXPECT_EQ(field(body(tools, R"(,"prefix":true)")), "tool_choice");
  EXPECT_EQ(
      field(R"({"model":"tiny","continue_final_message":true,"messages":[{"role":"user","content":"hi"}]})"),
      "messages[0].role");
}

TEST_F(ApiTest, ReadsToolCalls) {
  script_.reply = "I look.<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}</tool_call>";
  start();
  const std::string body =
      R"({"model":"tiny","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f"}}]})";
  const json::value answer = post("/v1/chat/completions", body);
  const json::value& choice = answer.at("choices").at(0);
  EXPECT_EQ(choice.at("finish_reason"), "tool_calls");
  EXPECT_EQ(choice.at("message").at("content"), "I look.");
  const json::value& call = choice.at("message").at("tool_calls").at(0);
  EXPECT_EQ(call.at("function").at("name"), "f");
  EXPECT_EQ(call.at("function").at("arguments"), "{\"a\": 1}");
  EXPECT_EQ(call.at("id").as_string().size(), 9u);
  // Without tools it is text.
  EXPECT_EQ(post("/v1/chat/completions", kHello).at("choices").at(0).at("message").at("content"),
            script_.reply.c_str());
  const json::value use =
      post("/v1/messages", R"({"model":"tiny","max_tokens":99,"messages":[{"role":"user","content":"hi"}],)"
                           R"("tools":[{"name":"f","input_schema":{"type":"object"}}]})");
  EXPECT_EQ(use.at("stop_reason"), "tool_use");
  EXPECT_EQ(use.at("content").at(1).at("input").at("a"), 1);
}

TEST_F(ApiTest, SaysHowLongThePromptWas) {
  start();
  const std::string body =
      R"({"model":"tiny","messages":[{"role":"user","content":")" + std::string(700, 'x') + "\"}]}";
  const json::value error = post("/v1/chat/completions", body, 400).at("error");
  EXPECT_NE(error.at("message").as_string().find("600"), std::string::npos) << json::serialize(error);
  EXPECT_NE(error.at("message").as_string().find("7"), std::string::npos);
  EXPECT_EQ(error.at("param"), "messages");
}

TEST_F(ApiTest, RefusesByName) {
  start();
  const auto field = [this](std::string more) {
    std::string body = kHello;
    body.insert(1, more + ",");
    const json::value error = post("/v1/chat/completions", body, 400).at("error");
    return error.at("param").is_string() ? std::string(error.at("param").as_string()) : std::string();
  };
  EXPECT_EQ(field(R"("temperature":3)"), "temperature");
  EXPECT_EQ(field(R"("wonders":true)"), "wonders");
  EXPECT_EQ(field(R"("n":0)"), "n");
  EXPECT_EQ(field(R"("audio":{})"), "audio");
  EXPECT_EQ(field(R"("logit_bias":{"999999":1})"), "logit_bias");
  EXPECT_EQ(field(R"("tools":[{"type":"web"}])"), "tools[0].type");
  EXPECT_EQ(field(R"("stop":[""])"), "stop");
  EXPECT_EQ(field(R"("tool_choice":"required")"), "tool_choice");
  EXPECT_EQ(
      post("/v1/chat/completions", R"({"model":"other","messages":[{"role":"user","content":"x"}]})", 404)
          .at("error")
          .at("code"),
      "model_not_found");
  EXPECT_EQ(post("/v1/messages", R"({"model":"tiny","messages":[]})", 400).at("error").at("type"),
            "invalid_request_error");
  EXPECT_TRUE(post("/api/chat", R"({"model":"tiny","messages":[],"x":1})", 400).at("error").is_string());
  EXPECT_EQ(send("POST", "/v1/chat/completions", "{\"model\": \"\xff\"}").status, 400);
  EXPECT_EQ(send("POST", "/v1/chat/completions", "[]").status, 400);
  EXPECT_EQ(send("GET", "/v1/chat/completions").status, 405);
  EXPECT_EQ(send("GET", "/nowhere").status, 404);
}

TEST_F(ApiTest, AFullQueueAsksToComeAgain) {
  script_.full = true;
  start();
  const net::Response response = send("POST", "/v1/chat/completions", kHello);
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(header(response, "retry-after"), "1");
}

TEST_F(ApiTest, ACancelledRequestStops) {
  script_.pause = std::chrono::milliseconds(20);
  script_.reply = std::string(500, 'x');
  start();
  std::string body = kHello;
  body.insert(1, R"("stream":true,)");
  (void)client_->send({.method = "POST",
                       .path = "/v1/chat/completions",
                       .query = {},
                       .headers = {},
                       .body = body,
                       .peer = {}},
                      [](std::string_view) { return false; });
  for (int i = 0; i < 100 && script_.cancelled == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(script_.cancelled, 1);
}

TEST_F(ApiTest, KeysHostsAndOrigins) {
  start({.keys = read_keys("alice secret-key-1", "test").value(), .hosts = {}, .origins = {"http://good"}});
  EXPECT_EQ(send("GET", "/v1/models").status, 401);
  EXPECT_EQ(send("GET", "/health").status, 200);
  EXPECT_EQ(send("GET", "/v1/models", "", {{"Authorization", "Bearer secret-key-2"}}).status, 401);
  EXPECT_EQ(send("GET", "/v1/models", "", {{"Authorization", "Bearer secret-key-1"}}).status, 200);
  EXPECT_EQ(send("GET", "/v1/models", "", {{"x-api-key", "secret-key-1"}}).status, 200);
  EXPECT_EQ(send("GET", "/health", "", {{"Origin", "http://evil"}}).status, 403);
  const net::Response preflight = send("OPTIONS", "/v1/chat/completions", "", {{"Origin", "http://good"}});
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(header(preflight, "access-control-allow-origin"), "http://good");
  Guard guard({.keys = {}, .hosts = {}, .origins = {}, .loopback = true});
  EXPECT_EQ(guard.check({.headers = {{"host", "evil.example:80"}}}, {}).status, 421);
  EXPECT_EQ(guard.check({.headers = {{"host", "[::1]:80"}}}, {}).status, 0);
}

TEST_F(ApiTest, OtherRoutes) {
  start();
  EXPECT_NE(send("GET", "/v1/models").body.find("\"tiny\""), std::string::npos);
  EXPECT_EQ(send("GET", "/v1/models/none").status, 404);
  EXPECT_EQ(send("GET", "/ready").status, 200);
  EXPECT_EQ(post("/tokenize", R"({"model":"tiny","prompt":"ab"})").at("tokens").at(1), 98);
  EXPECT_EQ(post("/detokenize", R"({"model":"tiny","tokens":[97,98]})").at("prompt"), "ab");
  EXPECT_GT(post("/v1/messages/count_tokens", kHello).at("input_tokens").as_int64(), 10);
  EXPECT_EQ(post("/api/show", R"({"model":"tiny"})").at("capabilities").at(1), "tools");
  EXPECT_NE(send("GET", "/api/tags").body.find("\"tiny\""), std::string::npos);
  (void)post("/v1/chat/completions", kHello);
  const std::string metrics = send("GET", "/metrics").body;
  EXPECT_NE(metrics.find("maestrale_generation_tokens_total{model_name=\"tiny\",key=\"\"} 5"),
            std::string::npos)
      << metrics;
  EXPECT_NE(metrics.find("maestrale_time_to_first_token_seconds_count"), std::string::npos);
}

TEST_F(ApiTest, ReportsLogprobs) {
  script_.reply = "ab";
  start();
  std::string body = kHello;
  body.insert(1, R"("logprobs":true,"top_logprobs":2,)");
  const json::value answer = post("/v1/chat/completions", body);
  const json::value& content = answer.at("choices").at(0).at("logprobs").at("content");
  EXPECT_EQ(content.as_array().size(), 2u);
  EXPECT_EQ(content.at(1).at("token"), "b");
  EXPECT_EQ(content.at(1).at("top_logprobs").as_array().size(), 2u);
}

TEST_F(ApiTest, DrainFinishesWhatIsUnderWay) {
  script_.pause = std::chrono::milliseconds(20);
  start();
  std::string body;
  std::thread asker([&] { body = send("POST", "/v1/chat/completions", kHello).body; });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  api_->drain(10);
  asker.join();
  EXPECT_NE(body.find("hello"), std::string::npos) << body;
}

}  // namespace
}  // namespace maestrale::serve
