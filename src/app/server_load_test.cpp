#include "app/server_load.h"

#include <gtest/gtest.h>

#include "net/server.h"

namespace maestrale::app {
namespace {

net::Response nothing(int status, std::string_view, std::string_view) { return {.status = status}; }

TEST(LoadTest, MeasuresWhatClientsSee) {
  const auto handler = [](net::Request request, std::shared_ptr<net::Exchange> exchange) {
    if (request.path == "/v1/models")
      return exchange->respond({.status = 200, .headers = {}, .body = R"({"data":[{"id":"m"}]})"});
    if (request.path == "/tokenize") {
      const bool asked = request.body.find("\"content\"") != std::string::npos;  // as llama.cpp's server
      return exchange->respond(
          {.status = 200, .headers = {}, .body = asked ? R"({"tokens":[1,2,3]})" : R"({"tokens":[]})"});
    }
    if (request.body.find("\"prompt\":[3,") != std::string::npos)
      return exchange->respond({.status = 500, .headers = {}, .body = {}});
    exchange->begin({});
    exchange->write("data: {\"choices\":[{\"text\":\"a\"}]}\n\n");
    exchange->write("data: {\"choices\":[{\"text\":\"b\"}]}\n\n");
    exchange->write("data: {\"choices\":[],\"usage\":{\"completion_tokens\":7}}\n\ndata: [DONE]\n\n");
    exchange->end();
  };
  const auto server = net::Server::start({}, handler, nothing);
  ASSERT_TRUE(server.ok());
  LoadPlan plan;
  plan.server = "http://127.0.0.1:" + std::to_string((*server)->port());
  plan.clients = 2;
  plan.requests = 6;
  plan.prompt_tokens = 4;
  const auto report = run_load_test(plan);
  ASSERT_TRUE(report.ok()) << report.error().render();
  EXPECT_EQ(report->requests, 6);
  EXPECT_EQ(report->errors, 2);
  EXPECT_GT(report->tokens_per_s, 0);
  EXPECT_GT(report->ttft_p95_ms, 0);
  EXPECT_EQ(report->to_json().size(), 8u);
}

TEST(LoadTest, Percentiles) {
  EXPECT_EQ(percentile({}, 0.5), 0);
  EXPECT_EQ(percentile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(percentile({3, 1, 2}, 0.95), 3);
}

TEST(LoadTest, NoServer) {
  LoadPlan plan;
  plan.server = "http://127.0.0.1:1";
  EXPECT_FALSE(run_load_test(plan).ok());
}

}  // namespace
}  // namespace maestrale::app
