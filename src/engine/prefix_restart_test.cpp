// Services over one folder, one after the other: what one computed the next one reads, with the same bits.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/low_rank_test_support.h"
#include "engine/prefix_store.h"
#include "engine/service_test_support.h"

namespace maestrale::engine {
namespace {

namespace fs = std::filesystem;

struct Started {
  ops::KvType kv_type = ops::KvType::kF16;
  std::vector<std::uint64_t> adapters = {};  // seeds, in their order
  std::int64_t window = 0;
  std::int64_t heads = 4;  // other numbers in the model
};

class Restarts : public testing::Test {
 protected:
  Restarts() {
    folder_ = fs::path(testing::TempDir()) / ("maestrale_restarts_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
  }
  ~Restarts() override {
    service_.reset();
    fs::remove_all(folder_);
  }

  void start(const Started& how = {}, std::int64_t kv_tokens = 16 * 256) {
    service_.reset();
    service_ = std::move(Service::start(engine(how, kv_tokens), {.chunk = 100, .store = options()})).value();
  }
  PrefixStoreOptions options() const { return {.folder = folder_}; }
  std::unique_ptr<Engine> engine(const Started& how, std::int64_t kv_tokens) {
    files::Checkpoint checkpoint =
        tiny_checkpoint({.dtype = DType::kQ8_0, .window = how.window, .context = 512, .heads = how.heads});
    checkpoint.tokenizer = byte_tokenizer(301);
    for (const std::uint64_t seed : how.adapters)
      checkpoint.adapters.push_back(std::move(made_.emplace_back(seed).adapter));
    auto engine = Engine::load(std::move(checkpoint), {.threads = 1,
                                                       .context = 512,
                                                       .sequences = 4,
                                                       .kv_tokens = kv_tokens,
                                                       .kv_type = how.kv_type,
                                                       .batch_rows = 128,
                                                       .prefix_store = true});
    return std::move(engine).value();
  }
  SeenAnswer ask(std::vector<text::TokenId> prompt, const std::string& tenant = "a",
                 std::optional<int> adapter = std::nullopt) {
    ServiceRequest request{.generate = request_of(std::move(prompt), 70), .tenant = tenant};
    request.generate.ignore_end = true;
    request.generate.sampling.logprobs = 2;
    if (adapter) request.generate.adapters = {{*adapter, 1.5f}};
    const auto stream = service_->submit(std::move(request)).value();
    return read_all(*stream);
  }
  // Of a page of tenant a's prompt; empty where it is not there.
  fs::path file_of(std::size_t index) const {
    std::vector<PrefixKey> keys;
    extend_keys(prefix_root("a"), prompt_, keys);
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      if (entry.path().filename() == keys[index].hex() + ".kv") return entry.path();
    }
    return {};
  }
  // Tokens that did not have to be computed.
  std::int64_t expect_same_after(const SeenAnswer& truth, const SeenAnswer& seen, const std::string& where) {
    expect_same(seen.choices[0], truth.choices[0], where);
    return seen.end->usage.cached_tokens;
  }

  fs::path folder_;
  std::list<TinyAdapter> made_;
  std::unique_ptr<Service> service_;
  const std::vector<text::TokenId> prompt_ = some_tokens(200, 256);
};

TEST_F(Restarts, TheSameAnswerColdWarmAndReadBack) {
  for (const Started& how : {Started{}, Started{.kv_type = ops::KvType::kQ8},
                             Started{.kv_type = ops::KvType::kF32}, Started{.window = 40}}) {
    start(how);
    const SeenAnswer cold = ask(prompt_);
    EXPECT_EQ(cold.end->usage.cached_tokens, 0);
    EXPECT_EQ(expect_same_after(cold, ask(prompt_), "warm"), 192);
    EXPECT_EQ(service_->stats().store_tokens, 0u);
    start(how);
    EXPECT_EQ(expect_same_after(cold, ask(prompt_), "read back"), 192);
    EXPECT_EQ(service_->stats().store_tokens, 192u);
    EXPECT_EQ(service_->stats().store.read, 3u);
    EXPECT_EQ(expect_same_after(cold, ask(prompt_), "warm again"), 192);
    EXPECT_EQ(service_->stats().store_tokens, 192u);
    // The conversation goes on: the answer's pages were kept too.
    std::vector<text::TokenId> longer = prompt_;
    longer.insert(longer.end(), cold.choices[0].tokens.begin(), cold.choices[0].tokens.end());
    start(how);
    EXPECT_EQ(ask(longer).end->usage.cached_tokens, 256);
    // Two that begin alike, at once: the pages are read once.
    start(how);
    ServiceRequest request{.generate = request_of(prompt_, 3), .choices = 2, .tenant = "a"};
    const auto one = service_->submit(request).value(), two = service_->submit(request).value();
    EXPECT_EQ(read_all(*one).end->usage.cached_tokens, 192);
    EXPECT_EQ(read_all(*two).end->usage.cached_tokens, 192);
    EXPECT_EQ(service_->stats().store.read, 3u);
  }
}

TEST_F(Restarts, OthersComputeTheirOwn) {
  start();
  ask(prompt_);
  start();
  EXPECT_EQ(ask(prompt_, "b").end->usage.cached_tokens, 0);
  start({.kv_type = ops::KvType::kQ8});
  EXPECT_EQ(ask(prompt_).end->usage.cached_tokens, 0);
  start({.window = 64});  // other configuration, the same tensors
  EXPECT_EQ(ask(prompt_).end->usage.cached_tokens, 0);
  start();
  EXPECT_EQ(ask(prompt_).end->usage.cached_tokens, 192);
}

// They are told apart by what is in them, not by their place.
TEST_F(Restarts, AdaptersKeepTheirPages) {
  start({.adapters = {1, 2}});
  const SeenAnswer first = ask(prompt_, "a", 0), second = ask(prompt_, "a", 1), none = ask(prompt_);
  EXPECT_NE(first.choices[0].logprobs, second.choices[0].logprobs);
  EXPECT_EQ(second.end->usage.cached_tokens + none.end->usage.cached_tokens, 0);
  start({.adapters = {3, 2, 1}});
  EXPECT_EQ(ask(prompt_, "a", 0).end->usage.cached_tokens, 0);
  EXPECT_EQ(expect_same_after(second, ask(prompt_, "a", 1), "second"), 192);
  EXPECT_EQ(expect_same_after(first, ask(prompt_, "a", 2), "first"), 192);
  EXPECT_EQ(expect_same_after(none, ask(prompt_), "none"), 192);
}

TEST_F(Restarts, DamagedPagesAreComputed) {
  start();
  const SeenAnswer cold = ask(prompt_);
  service_.reset();
  std::ofstream(file_of(1), std::ios::in | std::ios::binary).seekp(5000).put('x');
  start();
  EXPECT_EQ(expect_same_after(cold, ask(prompt_), "one page"), 64);
  EXPECT_EQ(service_->stats().store.damaged, 1u);
  start();  // and written again
  EXPECT_EQ(expect_same_after(cold, ask(prompt_), "all"), 192);
}

TEST_F(Restarts, APoolThatIsShort) {
  start();
  const SeenAnswer cold = ask(prompt_), other = ask(some_tokens(200, 256, 2));
  start({}, 512);  // one context
  for (int round = 0; round < 3; ++round) {
    ServiceRequest request{.generate = request_of(prompt_, 70), .tenant = "a"};
    const auto cancelled = service_->submit(request).value();
    cancelled->cancel();
    expect_same_after(cold, ask(prompt_), "first");
    expect_same_after(other, ask(some_tokens(200, 256, 2)), "second");
  }
  service_->drain(60);
  EXPECT_EQ(service_->stats().pages_used, 0);
}

// A pipe that nobody writes to stands for a disk that hangs.
TEST_F(Restarts, ADiskThatDoesNotAnswerIsNotWaitedFor) {
  start();
  const SeenAnswer cold = ask(prompt_);
  service_.reset();
  const fs::path page = file_of(1);
  ASSERT_TRUE(fs::remove(page));
  ASSERT_EQ(::mkfifo(page.c_str(), 0600), 0);
  // The service does not know it from its list.
  start();
  EXPECT_EQ(expect_same_after(cold, ask(prompt_), "a pipe is no page"), 64);
  service_.reset();
  ASSERT_TRUE(fs::remove(page));
  start();
  ask(prompt_);
  start({}, 512);
  fs::remove(page);
  ASSERT_EQ(::mkfifo(page.c_str(), 0600), 0);
  EXPECT_EQ(expect_same_after(cold, ask(prompt_), "computed"), 0);
  EXPECT_EQ(expect_same_after(cold, ask(prompt_), "from memory"), 192);
  EXPECT_GT(service_->stats().pages_used, 0);  // still the reader's
  const int end = ::open(page.c_str(), O_WRONLY | O_NONBLOCK);
  EXPECT_GE(end, 0);
  ::close(end);
  service_->drain(60);
}

TEST_F(Restarts, WithoutACacheThereIsNoStore) {
  const auto service = Service::start(engine({}, 1024), {.prefix_cache = false, .store = options()});
  ASSERT_FALSE(service.ok());
  EXPECT_EQ(service.error().kind, ErrorKind::kUnsupported);
}

}  // namespace
}  // namespace maestrale::engine
