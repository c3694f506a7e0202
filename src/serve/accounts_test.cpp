// Keys of a store before requests, and the ledger after them.
#include "serve/accounts.h"

#include <gtest/gtest.h>

#include <ctime>
#include <thread>

#include "net/client.h"
#include "serve/api.h"
#include "serve/fake_service.h"
#include "store/test_support.h"

namespace maestrale::serve {
namespace {

constexpr const char* kHello =
    R"({"model":"tiny","max_tokens":9,"messages":[{"role":"user","content":"hi"}]})";

class AccountsTest : public testing::Test {
 protected:
  void SetUp() override {
    auto accounts = Accounts::open(folder_ / "s.db", {});
    ASSERT_TRUE(accounts.ok()) << accounts.error().render();
    accounts_ = std::move(accounts).value();
    store_ = store::open_or_fail(folder_ / "s.db");
    Models models;
    ASSERT_TRUE(models.add({.id = "tiny", .created_s = 1}, fake_model(script_)).ok());
    ApiOptions options{.guard = {}, .version = "1"};
    options.guard.ring = &accounts_->keys();
    options.accounts = accounts_.get();
    api_ = std::make_unique<Api>(std::move(models), std::move(options));
    ASSERT_TRUE(api_->listen({}).ok());
    client_ = net::make_client({.host = "127.0.0.1", .port = api_->port()});
  }
  // A key that the running server has seen.
  void add_key(store::StoredKey key) {
    key.digest = key_digest(key.name + "-secret");
    if (key.scopes.empty()) key.scopes = {"generate", "models"};
    ASSERT_TRUE(store::add_key(*store_, key).ok());
    await([&] { return accounts_->keys().find(key.digest) != nullptr; });
  }
  template <class Test>
  void await(Test test) {
    for (int i = 0; i < 1000 && !test(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(test());
  }
  net::Response ask(const std::string& name, const std::string& path = "/v1/chat/completions",
                    const std::string& method = "POST", std::vector<net::Header> more = {}) {
    more.push_back({"authorization", "Bearer " + name + "-secret"});
    auto response = client_->send({.method = method,
                                   .path = path,
                                   .query = {},
                                   .headers = std::move(more),
                                   .body = method == "POST" ? kHello : "",
                                   .peer = {}});
    EXPECT_TRUE(response.ok()) << response.error().render();
    return response.ok() ? std::move(response).value() : net::Response{.status = 0};
  }
  static std::string header(const net::Response& response, std::string_view name) {
    for (const net::Header& header : response.headers) {
      if (header.name == name) return header.value;
    }
    return {};
  }
  store::UsageSum used(const std::string& key) {
    EXPECT_TRUE(accounts_->ledger().flush(std::chrono::milliseconds(10000)));
    const auto sums = store::sum_usage(*store_, {.key = key, .by = {}});
    return sums.ok() ? sums->front() : store::UsageSum{};
  }

  const store::Scratch folder_;
  std::unique_ptr<Accounts> accounts_;
  std::unique_ptr<store::Database> store_;
  FakeScript script_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<net::Client> client_;
};

TEST_F(AccountsTest, KeysComeAndGoWithoutARestart) {
  EXPECT_EQ(ask("alice").status, 401);
  add_key({.name = "alice", .weight = 2.5});
  EXPECT_EQ(ask("alice").status, 200);
  EXPECT_EQ(script_.weight, 2.5) << "the key's share reaches the engine";
  ASSERT_TRUE(store::revoke_key(*store_, "alice", std::time(nullptr)).ok());
  await([&] { return ask("alice").status == 401; });
  const net::Response refused = ask("alice");
  EXPECT_NE(refused.body.find("'alice' was revoked"), std::string::npos) << refused.body;
  EXPECT_NE(refused.body.find("invalid_api_key"), std::string::npos) << refused.body;
  EXPECT_NE(ask("alice", "/v1/messages").body.find(R"("type":"authentication_error")"), std::string::npos);
  EXPECT_TRUE(ask("alice", "/api/chat").body.starts_with(R"({"error":")"));
}

TEST_F(AccountsTest, ExpiryAndScopes) {
  add_key({.name = "old", .expires_s = std::time(nullptr) - 1});
  EXPECT_EQ(ask("old").status, 401);
  EXPECT_NE(ask("old").body.find("has expired"), std::string::npos);
  add_key({.name = "reader", .scopes = {"models"}});
  EXPECT_EQ(ask("reader", "/v1/models", "GET").status, 200);
  const net::Response refused = ask("reader");
  EXPECT_EQ(refused.status, 403);
  EXPECT_NE(refused.body.find("lacks the scope 'generate'"), std::string::npos) << refused.body;
  EXPECT_EQ(ask("reader", "/metrics", "GET").status, 403);
  EXPECT_EQ(ask("reader", "/v1/embeddings").status, 403);
  add_key({.name = "watcher", .scopes = {"metrics"}});
  EXPECT_NE(ask("watcher", "/metrics", "GET").body.find("maestrale_usage_requests_written_total"),
            std::string::npos);
}

TEST_F(AccountsTest, RequestsAreLimited) {
  add_key({.name = "alice", .limits = {.requests_per_minute = 2}});
  const net::Response first = ask("alice");
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(header(first, "x-ratelimit-limit-requests"), "2");
  EXPECT_EQ(header(first, "x-ratelimit-remaining-requests"), "1");
  EXPECT_FALSE(header(first, "x-ratelimit-reset-requests").empty());
  EXPECT_EQ(header(first, "x-ratelimit-limit-tokens"), "") << "there is no such limit";
  EXPECT_EQ(ask("alice").status, 200);
  const net::Response refused = ask("alice");
  EXPECT_EQ(refused.status, 429);
  EXPECT_GT(std::stoi(header(refused, "retry-after")), 1);
  EXPECT_NE(refused.body.find("rate_limit_exceeded"), std::string::npos) << refused.body;
  const net::Response anthropic = ask("alice", "/v1/messages");
  EXPECT_EQ(anthropic.status, 429);
  EXPECT_EQ(header(anthropic, "anthropic-ratelimit-requests-limit"), "2");
  EXPECT_NE(anthropic.body.find("rate_limit_error"), std::string::npos) << anthropic.body;
  EXPECT_EQ(ask("alice", "/v1/models", "GET").status, 200) << "what computes nothing is not counted";
}

TEST_F(AccountsTest, TokensAreLimitedAndWhatIsNotUsedComesBack) {
  const std::int64_t prompt = [this] {
    add_key({.name = "free"});
    EXPECT_EQ(ask("free").status, 200);
    return used("free").prompt_tokens;
  }();
  add_key({.name = "alice", .limits = {.tokens_per_day = 2 * prompt + 5 + 9}});
  EXPECT_EQ(ask("alice").status, 200);  // reserves prompt + 9, uses prompt + 5
  const net::Response second = ask("alice");
  EXPECT_EQ(second.status, 200) << second.body;
  EXPECT_EQ(header(second, "x-ratelimit-remaining-tokens"), "0");
  const net::Response third = ask("alice");
  EXPECT_EQ(third.status, 429) << third.body;
  EXPECT_NE(third.body.find("tokens a day"), std::string::npos) << third.body;
  EXPECT_EQ(used("alice").requests, 2);
  EXPECT_EQ(script_.finished, 3) << "the refused one never reached the engine";
}

TEST_F(AccountsTest, TheLedgerIsExactWhenClientsVanish) {
  script_.pause = std::chrono::milliseconds(20);
  script_.reply = std::string(300, 'x');
  add_key({.name = "alice"});
  std::string body = kHello;
  body.insert(1, R"("stream":true,)");
  body.replace(body.find("\"max_tokens\":9"), 14, "\"max_tokens\":299");
  (void)client_->send({.method = "POST",
                       .path = "/v1/chat/completions",
                       .query = {},
                       .headers = {{"authorization", "Bearer alice-secret"}},
                       .body = body,
                       .peer = {}},
                      [](std::string_view) { return false; });
  await([&] { return script_.finished == 1; });
  await([&] { return accounts_->ledger().stats().written == 1; });
  const store::UsageSum sum = used("alice");
  EXPECT_EQ(sum.requests, 1);
  EXPECT_EQ(sum.cancelled, 1);
  EXPECT_GT(sum.prompt_tokens, 2);
  EXPECT_GT(sum.completion_tokens, 0);
  EXPECT_LT(sum.completion_tokens, 299);
}

TEST_F(AccountsTest, ALockedStoreStopsNobody) {
  add_key({.name = "alice"});
  store::Stranger other(folder_ / "s.db");
  other.run("BEGIN EXCLUSIVE");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ask("alice").status, 200);
  await([&] { return accounts_->stats().ledger.failures > 0; });
  EXPECT_EQ(accounts_->stats().ledger.waiting, 5u);
  other.run("ROLLBACK");
  EXPECT_EQ(used("alice").requests, 5);
  EXPECT_EQ(accounts_->stats().ledger.lost, 0u);
}

TEST(Keys, AreLongAndDifferent) {
  const std::string one = new_key(), two = new_key();
  EXPECT_TRUE(one.starts_with("mst_"));
  EXPECT_EQ(one.size(), 47u);
  EXPECT_NE(one, two);
  EXPECT_EQ(key_prefix(one).size(), 8u);
  EXPECT_EQ(scope_from_name("wonders").error().expected, "generate, embed, models, metrics");
}

}  // namespace
}  // namespace maestrale::serve
