#include "engine/encode_service.h"

#include <gtest/gtest.h>

#include <future>

#include "engine/test_support.h"

namespace maestrale::engine {
namespace {

const LoadOptions kLoad{.threads = 1, .context = 128, .sequences = 4, .kv_tokens = 512, .batch_rows = 32};

class EncodeServiceTest : public testing::Test {
 protected:
  void start(std::int64_t queue = 64) {
    auto service = EncodeService::start(tiny_engine(kLoad), queue);
    ASSERT_TRUE(service.ok()) << service.error().render();
    service_ = std::move(service).value();
  }
  struct Asked {
    std::future<Result<EncodeAnswer>> answer;
    CancelFlag cancel;
  };
  Asked ask(std::vector<std::vector<text::TokenId>> texts, std::string tenant = {},
            std::int64_t dimensions = 0) {
    EncodeRequest request{.texts = {}, .dimensions = dimensions, .tenant = std::move(tenant)};
    for (auto& text : texts) request.texts.push_back({std::move(text), {}});
    auto promise = std::make_shared<std::promise<Result<EncodeAnswer>>>();
    Asked out{promise->get_future(), nullptr};
    auto flag = service_->submit(std::move(request), [promise](Result<EncodeAnswer> answer) {
      promise->set_value(std::move(answer));
    });
    EXPECT_TRUE(flag.ok()) << flag.error().render();
    if (flag.ok()) out.cancel = *flag;
    return out;
  }
  Error refused(EncodeRequest request) {
    auto flag = service_->submit(std::move(request), [](const auto&) { ADD_FAILURE(); });
    EXPECT_FALSE(flag.ok());
    return flag.ok() ? Error{} : flag.error();
  }

  std::unique_ptr<EncodeService> service_;
};

std::vector<std::vector<text::TokenId>> some_texts(std::size_t count, std::uint64_t seed = 1) {
  std::vector<std::vector<text::TokenId>> texts;
  for (std::size_t i = 0; i < count; ++i)
    texts.push_back(some_tokens(static_cast<std::int64_t>(1 + (7 * i + seed) % 50), 301, seed + i));
  return texts;
}

TEST_F(EncodeServiceTest, GivesWhatTheEmbedderGives) {
  start();
  const auto engine = tiny_engine(kLoad);
  auto embedder = Embedder::create(*engine, {}).value();
  std::vector<Asked> asked;
  for (std::uint64_t i = 0; i < 8; ++i) asked.push_back(ask(some_texts(5, i), i % 2 == 0 ? "a" : "b"));
  for (std::uint64_t i = 0; i < 8; ++i) {
    const auto answer = asked[i].answer.get();
    ASSERT_TRUE(answer.ok()) << answer.error().render();
    const auto texts = some_texts(5, i);
    EXPECT_EQ(answer->vectors, embedder.embed(texts).value());
    std::int64_t tokens = 0;
    for (const auto& text : texts) tokens += std::ssize(text);
    EXPECT_EQ(answer->usage.prompt_tokens, tokens);
  }
  const auto few = ask(some_texts(3), "", 16).answer.get();
  EXPECT_EQ(
      few->vectors,
      Embedder::create(*engine, {.pooling = {}, .dimensions = 16}).value().embed(some_texts(3)).value());
  EXPECT_TRUE(ask({}).answer.get()->vectors.empty());
  EXPECT_EQ(service_->stats().requests, 10u);
}

TEST_F(EncodeServiceTest, SaysWhatIsWrong) {
  start();
  EXPECT_EQ(refused({.texts = {{{1}, {}}, {{}, {}}}}).where, "1");
  EXPECT_EQ(refused({.texts = {{{301}, {}}}}).expected, "0 … 300");
  const Error error = refused({.texts = {{some_tokens(129, 301), {}}}});
  EXPECT_EQ(error.kind, ErrorKind::kResource);
  EXPECT_EQ(error.found, "129");
  EXPECT_EQ(error.expected, "1 … 128 tokens");
  EXPECT_EQ(refused({.texts = {{{1}, {}}}, .dimensions = 257}).where, "dimensions");
  // A model without a tokenizer has no words for a score.
  EXPECT_EQ(refused({.texts = {{{1}, {}}}, .scores = true}).kind, ErrorKind::kUnsupported);
  EXPECT_FALSE(EncodeService::start(tiny_engine(kLoad), 0).ok());
}

TEST_F(EncodeServiceTest, ACancelledRequestEndsAndOthersGoOn) {
  start();
  auto large = ask(some_texts(400), "a");
  *large.cancel = true;
  auto small = ask(some_texts(2), "b");
  EXPECT_TRUE(small.answer.get().ok());
  const auto ended = large.answer.get();
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().kind, ErrorKind::kCancelled);
  EXPECT_EQ(service_->stats().cancelled, 1u);
}

TEST_F(EncodeServiceTest, ManyTextsOfOneTenantDoNotHoldUpAnother) {
  start();
  auto large = ask(some_texts(2000), "a");
  auto small = ask(some_texts(2), "b");
  EXPECT_TRUE(small.answer.get().ok());
  EXPECT_EQ(large.answer.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  *large.cancel = true;
  (void)large.answer.get();
}

TEST_F(EncodeServiceTest, TheQueueIsBounded) {
  start(2);
  std::vector<Asked> asked;
  asked.push_back(ask(some_texts(2000)));
  asked.push_back(ask(some_texts(2000)));
  EXPECT_EQ(refused({.texts = {{{1}, {}}}}).kind, ErrorKind::kResource);
  service_->drain(0);
  for (Asked& one : asked) EXPECT_FALSE(one.answer.get().ok());
  EXPECT_EQ(refused({.texts = {{{1}, {}}}}).kind, ErrorKind::kResource);
}

}  // namespace
}  // namespace maestrale::engine
