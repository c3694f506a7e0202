// For tests: an Api that listens, and a client of it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "net/client.h"
#include "serve/api.h"
#include "serve/fake_service.h"

namespace maestrale::serve {

inline constexpr const char* kHello = R"({"model":"tiny","messages":[{"role":"user","content":"hi"}]})";

class ApiFixture : public testing::Test {
 protected:
  void serve(Models models, ApiOptions options) {
    api_ = std::make_unique<Api>(std::move(models), std::move(options));
    ASSERT_TRUE(api_->listen({}).ok());
    client_ = new_client();
  }
  std::unique_ptr<net::Client> new_client() const {
    return net::make_client({.host = "127.0.0.1", .port = api_->port()});
  }
  net::Response send(std::string method, std::string path, std::string body = {},
                     std::vector<net::Header> headers = {}) {
    return send(*client_, std::move(method), std::move(path), std::move(body), std::move(headers));
  }
  static net::Response send(net::Client& client, std::string method, std::string path, std::string body = {},
                            std::vector<net::Header> headers = {}) {
    auto response = client.send({.method = std::move(method),
                                 .path = std::move(path),
                                 .query = {},
                                 .headers = std::move(headers),
                                 .body = std::move(body),
                                 .peer = {}});
    EXPECT_TRUE(response.ok()) << response.error().render();
    return response.ok() ? std::move(response).value() : net::Response{.status = 0};
  }
  json::value post(std::string path, std::string body, int status = 200) {
    const net::Response response = send("POST", std::move(path), std::move(body));
    EXPECT_EQ(response.status, status) << response.body;
    return parsed(response.body);
  }
  json::value get(std::string path) { return parsed(send("GET", std::move(path)).body); }
  static json::value parsed(const std::string& body) {
    auto value = parse_json(body, "response");
    EXPECT_TRUE(value.ok()) << body;
    return value.ok() ? std::move(value).value() : json::value();
  }
  static std::string header(const net::Response& response, std::string_view name) {
    for (const net::Header& header : response.headers) {
      if (header.name == name) return header.value;
    }
    return {};
  }

  FakeScript script_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<net::Client> client_;
};

}  // namespace maestrale::serve
