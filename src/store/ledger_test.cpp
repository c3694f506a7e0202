#include "store/ledger.h"

#include <atomic>

#include "store/test_support.h"

namespace maestrale::store {
namespace {

using std::chrono::milliseconds;

UsageRecord record(int number, std::string key = "alice", std::string model = "tiny") {
  return {.uid = key + std::to_string(number),
          .time_s = 86400 * 20000 + number,
          .key_id = 1,
          .key_name = std::move(key),
          .model = std::move(model),
          .route = "/v1/chat/completions",
          .request_id = "req",
          .outcome = number % 2 == 0 ? "stop" : "cancelled",
          .requests = 1,
          .prompt_tokens = 10,
          .cached_tokens = 4,
          .completion_tokens = number,
          .seconds = 0.5};
}

UsageSum total(const std::filesystem::path& path) {
  auto store = open_or_fail(path);
  auto sums = sum_usage(*store, {.by = {}});
  EXPECT_TRUE(sums.ok()) << sums.error().render();
  return sums.ok() ? sums->front() : UsageSum{};
}

// Told from the ledger's thread.
struct Reports {
  std::atomic<int> failures{0}, recoveries{0};
  LedgerOptions options(LedgerOptions base = {}) {
    base.retry = milliseconds(10);
    base.last_wait = milliseconds(50);
    base.report = [this](const std::optional<Error>& error) { ++(error ? failures : recoveries); };
    return base;
  }
};

TEST(Ledger, SumsByKeyModelAndDay) {
  const Scratch folder;
  {
    auto ledger = Ledger::start(folder / "s.db");
    ASSERT_TRUE(ledger.ok()) << ledger.error().render();
    for (int i = 0; i < 10; ++i) (*ledger)->add(record(i));
    (*ledger)->add(record(1, "bob", "large"));
    (*ledger)->add(record(1, "bob", "large"));  // the same once more
    ASSERT_TRUE((*ledger)->flush(milliseconds(5000)));
    EXPECT_EQ((*ledger)->stats().waiting, 0u);
  }
  auto store = open_or_fail(folder / "s.db");
  const auto sums = sum_usage(*store, {});
  ASSERT_TRUE(sums.ok()) << sums.error().render();
  ASSERT_EQ(sums->size(), 2u);
  EXPECT_EQ(sums->at(0).group, (std::vector<std::string>{"alice", "tiny"}));
  EXPECT_EQ(sums->at(0).requests, 10);
  EXPECT_EQ(sums->at(0).cancelled, 5);
  EXPECT_EQ(sums->at(0).prompt_tokens, 100);
  EXPECT_EQ(sums->at(0).cached_tokens, 40);
  EXPECT_EQ(sums->at(0).completion_tokens, 45);
  EXPECT_EQ(sums->at(1).requests, 1);
  EXPECT_EQ(tokens_since(*store, 86400 * 20000 + 5).value(),
            (std::map<std::int64_t, std::int64_t>{{1, 5 * 10 + 5 + 6 + 7 + 8 + 9}}));
  const auto days = sum_usage(*store, {.key = "bob", .by = {UsageGroup::kDay}});
  ASSERT_TRUE(days.ok()) << days.error().render();
  EXPECT_EQ(days->at(0).group, std::vector<std::string>{"2024-10-04"});  // 20,000 days after 1970
  EXPECT_EQ(sum_usage(*store, {.since_s = 86400 * 20000 + 5, .until_s = 86400 * 20000 + 7, .by = {}})
                ->at(0)
                .requests,
            2);
}

TEST(Ledger, ALockedStoreLosesNothing) {
  const Scratch folder;
  Reports reports;
  auto ledger = std::move(Ledger::start(folder / "s.db", reports.options())).value();
  Stranger other(folder / "s.db");
  other.run("BEGIN EXCLUSIVE");
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) ledger->add(record(i));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(1000)) << "nobody waits for the disk";
  EXPECT_FALSE(ledger->flush(milliseconds(600)));
  EXPECT_GE(ledger->stats().failures, 1u);
  EXPECT_EQ(ledger->stats().waiting, 100u);
  EXPECT_EQ(reports.failures, 1) << "said once";
  other.run("ROLLBACK");
  EXPECT_TRUE(ledger->flush(milliseconds(5000)));
  EXPECT_EQ(reports.recoveries, 1);
  EXPECT_EQ(ledger->stats().lost, 0u);
  EXPECT_EQ(total(folder / "s.db").requests, 100);
  EXPECT_EQ(total(folder / "s.db").completion_tokens, 99 * 50);
}

TEST(Ledger, MemoryIsBoundedAndTokensStayExact) {
  const Scratch folder;
  Reports reports;
  auto ledger = std::move(Ledger::start(folder / "s.db", reports.options({.records = 10}))).value();
  Stranger other(folder / "s.db");
  other.run("BEGIN EXCLUSIVE");
  for (int i = 0; i < 1000; ++i) ledger->add(record(i));
  EXPECT_LE(ledger->stats().waiting, 12u);  // ten, and one sum for each outcome
  other.run("ROLLBACK");
  EXPECT_TRUE(ledger->flush(milliseconds(5000)));
  const UsageSum sum = total(folder / "s.db");
  EXPECT_EQ(sum.requests, 1000);
  EXPECT_EQ(sum.cancelled, 500);
  EXPECT_EQ(sum.prompt_tokens, 10000);
  EXPECT_EQ(sum.completion_tokens, 999 * 500);
}

TEST(Ledger, WritesWhatWaitsWhenItEnds) {
  const Scratch folder;
  {
    auto ledger = std::move(Ledger::start(folder / "s.db")).value();
    for (int i = 0; i < 500; ++i) ledger->add(record(i));
  }
  EXPECT_EQ(total(folder / "s.db").requests, 500);
}

TEST(Ledger, SaysWhatItCouldNotWriteAtTheEnd) {
  const Scratch folder;
  Reports reports;
  auto ledger = std::move(Ledger::start(folder / "s.db", reports.options())).value();
  Stranger other(folder / "s.db");
  other.run("BEGIN EXCLUSIVE");
  for (int i = 0; i < 5; ++i) ledger->add(record(i));
  ledger.reset();
  EXPECT_EQ(reports.failures, 2) << "that writing fails, and what was lost";
}

TEST(Ledger, AFileThatIsRemovedIsMadeAgain) {
  const Scratch folder;
  Reports reports;
  auto ledger = std::move(Ledger::start(folder / "s.db", reports.options())).value();
  for (const char* name : {"s.db", "s.db-wal", "s.db-shm"}) std::filesystem::remove(folder / name);
  ledger->add(record(1));
  EXPECT_TRUE(ledger->flush(milliseconds(5000)));
  EXPECT_EQ(total(folder / "s.db").requests, 1);
}

}  // namespace
}  // namespace maestrale::store
