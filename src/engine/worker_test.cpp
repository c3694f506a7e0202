// The engine thread's work, step by step on this thread.
#include "engine/worker.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/service_test_support.h"
#include "models/preset_tensors.h"

namespace maestrale::engine {
namespace {

std::vector<text::TokenId> joined(std::vector<text::TokenId> a, const std::vector<text::TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class Workers : public testing::Test {
 protected:
  void make(const ServiceOptions& options = {}, std::int64_t kv_tokens = 16 * 256,
            std::int64_t context = 256) {
    worker_.reset();
    options_ = options;
    options_.running = std::min<std::int64_t>(options.running, 16);
    engine_ = byte_engine(1, kv_tokens, 128, context);
    worker_ = std::make_unique<Worker>(*engine_, options_);
  }
  // Its index in seen_.
  std::size_t add(ServiceRequest request) {
    auto made = make_request(std::move(request), *engine_, options_);
    EXPECT_TRUE(made.ok());
    (*made)->number = streams_.size();
    streams_.push_back(make_answer_stream((*made)->stream));
    seen_.emplace_back();
    worker_->add(std::move(made).value());
    return streams_.size() - 1;
  }
  std::size_t add(std::vector<text::TokenId> prompt, std::int64_t max_tokens,
                  const std::string& tenant = "") {
    return add({.generate = request_of(std::move(prompt), max_tokens), .tenant = tenant});
  }
  void step() {
    worker_->step();
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      if (streams_[i]) read_ready(*streams_[i], seen_[i]);
    }
  }
  int run() {
    int steps = 0;
    for (; !worker_->idle(); ++steps) step();
    return steps;
  }
  bool is_over(std::size_t index) const { return seen_[index].end.has_value(); }
  SeenChoice truth(const GenerateRequest& request, int choice = 0) {
    if (alone_ == nullptr) alone_ = byte_engine(1, 256);
    return run_alone(*alone_, request, choice);
  }

  std::unique_ptr<Engine> engine_, alone_;
  ServiceOptions options_;
  std::unique_ptr<Worker> worker_;
  std::vector<std::shared_ptr<AnswerStream>> streams_;
  std::vector<SeenAnswer> seen_;
};

TEST_F(Workers, ANewBeginningThatManyShareIsComputedOnce) {
  make();
  const auto common = some_tokens(128, 256);
  for (std::uint64_t i = 0; i < 4; ++i) add(joined(common, some_tokens(5, 256, 10 + i)), 1);
  run();
  EXPECT_EQ(worker_->stats().rows, 128u + 4 * 5);
  EXPECT_EQ(worker_->stats().cached_tokens, 3u * 128);
  EXPECT_EQ(seen_[0].end->usage.cached_tokens, 0);
  EXPECT_EQ(seen_[3].end->usage.cached_tokens, 128);
  EXPECT_EQ(seen_[3].end->usage.prompt_tokens, 133);
  EXPECT_EQ(seen_[3].end->usage.completion_tokens, 1);
}

TEST_F(Workers, TenantsShareNothing) {
  make();
  const auto prompt = some_tokens(130, 256);
  add(prompt, 1, "a");
  add(prompt, 1, "b");
  run();
  add(prompt, 1, "a");
  run();
  EXPECT_EQ(worker_->stats().rows, 130u + 130 + 2);
}

TEST_F(Workers, WithoutTheCacheEverythingIsComputed) {
  make({.prefix_cache = false});
  const auto prompt = some_tokens(130, 256);
  add(prompt, 1);
  add(prompt, 1);
  run();
  EXPECT_EQ(worker_->stats().rows, 260u);
  EXPECT_EQ(worker_->stats().pages_cached, 0);
}

TEST_F(Workers, WhoeverWaitsForAnotherGoesOnWhenThatIsCancelled) {
  make({.chunk = 32});
  const auto prompt = some_tokens(200, 256);
  const std::size_t first = add(prompt, 4), second = add(prompt, 4);
  step();
  streams_[first]->cancel();
  run();
  EXPECT_EQ(seen_[first].choices[0].reason, FinishReason::kCancelled);
  expect_same(seen_[second].choices[0], truth(request_of(prompt, 4)), "second");
}

TEST_F(Workers, ChoicesShareTheirPrompt) {
  make();
  ServiceRequest request{.generate = request_of(some_tokens(100, 256), 10), .choices = 3};
  request.generate.ignore_end = true;
  const std::size_t index = add(request);
  run();
  ASSERT_EQ(seen_[index].choices.size(), 3u);
  for (int choice = 0; choice < 3; ++choice) {
    expect_same(seen_[index].choices[static_cast<std::size_t>(choice)], truth(request.generate, choice),
                "choice " + std::to_string(choice));
  }
  EXPECT_EQ(worker_->stats().rows, 100u + 3 * 9);
  EXPECT_EQ(seen_[index].end->usage.completion_tokens, 30);
}

TEST_F(Workers, MoreChoicesThanSlotsTakeTurns) {
  for (const bool cache : {true, false}) {
    make({.running = 2, .prefix_cache = cache});
    ServiceRequest request{.generate = request_of(some_tokens(70, 256), 5), .choices = 5};
    const std::size_t index = add(request);
    run();
    for (int choice = 0; choice < 5; ++choice) {
      expect_same(seen_[index].choices[static_cast<std::size_t>(choice)], truth(request.generate, choice),
                  "choice " + std::to_string(choice));
    }
  }
}

TEST_F(Workers, ALongPromptHoldsNobodyUp) {
  make({.chunk = 16});
  const std::size_t other = add(some_tokens(250, 256, 1), 2, "a");
  step();
  const std::size_t same = add(some_tokens(8, 256, 2), 2, "a"), third = add(some_tokens(8, 256, 3), 2, "b");
  for (int i = 0; i < 5; ++i) step();
  EXPECT_TRUE(is_over(same));
  EXPECT_TRUE(is_over(third));
  EXPECT_FALSE(is_over(other));
  run();
}

TEST_F(Workers, AStreamOfShortPromptsDoesNotStarveALongOne) {
  make({.running = 2, .chunk = 32});
  const std::size_t patient = add(some_tokens(250, 256, 1), 2);
  int steps = 0;
  for (; !is_over(patient) && steps < 200; ++steps) {
    add(some_tokens(20, 256, static_cast<std::uint64_t>(10 + steps)), 2);
    step();
  }
  EXPECT_LT(steps, 60);
  for (const auto& stream : streams_) stream->cancel();
  run();
}

TEST_F(Workers, ATenantWithManyRequestsLeavesRoomForAnother) {
  make({.running = 2});
  for (std::uint64_t i = 0; i < 12; ++i) add(some_tokens(30, 256, i), 200, "crowd");
  for (int i = 0; i < 160; ++i) step();
  const std::size_t lone = add(some_tokens(30, 256, 99), 5, "lone");
  int steps = 0;
  for (; !is_over(lone) && steps < 1000; ++steps) step();
  EXPECT_LT(steps, 200);
  for (const auto& stream : streams_) stream->cancel();
  run();
}

// Both always have work: what they get stands in the ratio of their weights.
TEST_F(Workers, TenantsAreServedByTheirWeights) {
  make({.running = 2, .prefix_cache = false});
  std::map<std::string, std::int64_t> tokens;
  std::vector<std::string> owners;
  const auto ask = [&](const std::string& tenant, double weight) {
    add({.generate = request_of(some_tokens(8, 256, streams_.size()), 24),
         .tenant = tenant,
         .weight = weight});
    owners.push_back(tenant);
  };
  for (int i = 0; i < 120; ++i) {
    ask("light", 1);
    ask("heavy", 3);
  }
  for (int i = 0; i < 1500; ++i) step();
  for (std::size_t i = 0; i < owners.size(); ++i) {
    if (!seen_[i].choices.empty()) tokens[owners[i]] += std::ssize(seen_[i].choices[0].tokens);
  }
  ASSERT_FALSE(worker_->idle()) << "work is left for both";
  EXPECT_NEAR(static_cast<double>(tokens["heavy"]) / static_cast<double>(tokens["light"]), 3, 0.5);
}

TEST_F(Workers, CancellationFreesEverythingWithinAStep) {
  make({.chunk = 16});
  const std::size_t prefilling = add(some_tokens(200, 256, 1), 50), giving = add(some_tokens(4, 256, 2), 50);
  for (int i = 0; i < 4; ++i) step();
  EXPECT_FALSE(seen_[giving].choices.empty());
  EXPECT_TRUE(seen_[prefilling].choices.empty());
  streams_[prefilling]->cancel();
  streams_[giving].reset();  // a dropped stream
  step();
  EXPECT_TRUE(worker_->idle());
  EXPECT_TRUE(is_over(prefilling));
  const ServiceStats stats = worker_->stats();
  EXPECT_EQ(stats.pages_used, 0);
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.cancelled, 2u);
  EXPECT_EQ(engine_->kv().free_pages() + engine_->kv().idle_pages(), engine_->kv().total_pages());
}

TEST_F(Workers, FullPagesMakeTheYoungestWaitAndLoseNothing) {
  for (const bool cache : {true, false}) {
    make({.prefix_cache = cache}, 5 * 64);
    std::vector<std::size_t> indices;
    for (std::uint64_t i = 0; i < 4; ++i) indices.push_back(add(some_tokens(50, 256, i), 100));
    run();
    EXPECT_GT(worker_->stats().preempted, 0u);
    for (std::uint64_t i = 0; i < 4; ++i) {
      expect_same(seen_[indices[i]].choices[0], truth(request_of(some_tokens(50, 256, i), 100)),
                  "request " + std::to_string(i));
    }
    EXPECT_EQ(worker_->stats().pages_used, 0);
  }
}

TEST_F(Workers, OldPagesMakeRoomForNewOnes) {
  make({}, 6 * 64);
  for (std::uint64_t i = 0; i < 10; ++i) {
    add(some_tokens(140, 256, i), 2);
    run();
  }
  EXPECT_GT(worker_->stats().pages_cached, 2);
  EXPECT_LE(worker_->stats().pages_cached, 6);
  EXPECT_EQ(worker_->stats().preempted, 0u);
}

TEST_F(Workers, AnAnswerThatNobodyReadsPausesAndHoldsNothing) {
  for (const bool cached : {true, false}) {
    make({.stream_bytes = 1000, .prefix_cache = cached});
    const GenerateRequest asked = request_of(some_tokens(40, 256), 60);
    auto request = make_request({.generate = asked, .choices = 2}, *engine_, options_).value();
    const auto stream = make_answer_stream(request->stream);
    worker_->add(std::move(request));
    for (int i = 0; i < 30 && !worker_->waits_for_readers(); ++i) worker_->step();
    ASSERT_TRUE(worker_->waits_for_readers());
    EXPECT_EQ(worker_->stats().running, 0);
    EXPECT_EQ(worker_->stats().pages_used, 0);
    EXPECT_EQ(worker_->stats().preempted, 0u);
    const std::size_t other = add(some_tokens(5, 256, 9), 20);
    for (int i = 0; i < 30 && !is_over(other); ++i) step();
    EXPECT_TRUE(is_over(other)) << "others go on";
    SeenAnswer seen;
    while (!worker_->idle()) {
      worker_->step();
      if (worker_->waits_for_readers()) read_ready(*stream, seen);
    }
    read_ready(*stream, seen);
    ASSERT_TRUE(seen.end.has_value());
    for (int choice = 0; choice < 2; ++choice)
      expect_same(seen.choices[static_cast<std::size_t>(choice)], truth(asked, choice), "paused");
    EXPECT_GT(worker_->stats().paused, 4u);
  }
}

TEST_F(Workers, ConstraintsRuleEachChoice) {
  make();
  const std::size_t index =
      add({.generate = request_of(some_tokens(5, 256), 50), .choices = 2, .constraint = [] {
             return std::make_unique<Spelling>("yes");
           }});
  run();
  for (const SeenChoice& choice : seen_[index].choices) {
    EXPECT_EQ(choice.text, "yes");
    EXPECT_EQ(choice.reason, FinishReason::kStopToken);
  }
  Spelling yes("yes");
  alone_ = byte_engine(1, 256);
  expect_same(seen_[index].choices[0], run_alone(*alone_, request_of(some_tokens(5, 256), 50), 0, &yes),
              "alone");
}

TEST_F(Workers, AFailureEndsOneRequestAlone) {
  make();
  ServiceRequest bad{.generate = request_of(some_tokens(5, 256), 50)};
  for (text::TokenId token = 0; token < 301; ++token)
    bad.generate.sampling.logit_bias.emplace_back(token, -INFINITY);
  const std::size_t failing = add(bad), other = add(some_tokens(5, 256), 3);
  run();
  ASSERT_TRUE(seen_[failing].end->error.has_value());
  EXPECT_EQ(worker_->stats().failed, 1u);
  EXPECT_FALSE(seen_[other].end->error.has_value());
}

TEST_F(Workers, GuessesChangeNothingButTheNumberOfSteps) {
  make({.always_draft = true});
  const auto phrase = some_tokens(12, 256);
  ServiceRequest request{.generate = request_of(joined(phrase, joined(phrase, phrase)), 120, 0)};
  request.generate.ignore_end = true;
  request.generate.sampling.logprobs = 2;
  // Biased towards a few tokens the tiny model repeats itself, so that guesses are right now and then.
  for (text::TokenId token = 0; token < 4; ++token)
    request.generate.sampling.logit_bias.emplace_back(phrase[static_cast<std::size_t>(token)], 6.0);
  const std::size_t index = add(request);
  const int steps = run();
  expect_same(seen_[index].choices[0], truth(request.generate), "guessing");
  const ServiceStats stats = worker_->stats();
  EXPECT_GT(stats.guesses, 0u);
  EXPECT_GT(stats.guessed_right, 0u);
  EXPECT_LT(stats.guessed_right, stats.guesses);
  EXPECT_EQ(steps + static_cast<int>(stats.guessed_right), 120);
}

// The last page of this context has places beyond it.
TEST_F(Workers, GuessesEndWithTheContext) {
  make({.always_draft = true}, 16 * 256, 100);
  ServiceRequest request{.generate = request_of(std::vector<text::TokenId>(60, 7), -1, 0)};
  request.generate.ignore_end = true;
  request.generate.sampling.logit_bias.emplace_back(7, 50.0);  // always the same: guesses are right
  const std::size_t index = add(request);
  run();
  EXPECT_EQ(seen_[index].end->usage.completion_tokens, 41);  // the last needs no place
  EXPECT_GT(worker_->stats().guessed_right, 0u);
}

TEST_F(Workers, NoTokensIsAnAnswerToo) {
  make();
  const std::size_t index = add(some_tokens(5, 256), 0);
  run();
  EXPECT_TRUE(seen_[index].choices[0].tokens.empty());
  EXPECT_EQ(seen_[index].choices[0].reason, FinishReason::kLength);
}

// A tiny Mamba-2 with made-up weights.
files::Checkpoint recurrent_checkpoint() {
  files::Checkpoint checkpoint;
  json::object config{{"architectures", json::array{"Mamba2ForCausalLM"}},
                      {"num_hidden_layers", 2},
                      {"hidden_size", 64},
                      {"vocab_size", 80},
                      {"max_position_embeddings", 1024},
                      {"tie_word_embeddings", false},
                      {"num_heads", 4},
                      {"head_dim", 32},
                      {"n_groups", 2},
                      {"state_size", 16},
                      {"conv_kernel", 4},
                      {"expand", 2},
                      {"layer_norm_epsilon", 1e-5}};
  checkpoint.dialect = files::Dialect::kHuggingFace;
  checkpoint.path = "tiny recurrent model";
  checkpoint.tensors = models::preset_tensors(config, "f32").value();
  checkpoint.metadata = std::move(config);
  for (std::size_t i = 0; i < checkpoint.tensors.size(); ++i) {
    TensorView& tensor = checkpoint.tensors[i];
    HugeBuffer buffer = std::move(HugeBuffer::allocate(tensor.data.size())).value();
    auto* values = reinterpret_cast<float*>(buffer.data());
    const float scale =
        tensor.shape.size() < 2 ? 0.3f : 1.6f / std::sqrt(static_cast<float>(tensor.columns()));
    const bool norm = tensor.name.find("norm") != std::string::npos;
    for (std::int64_t at = 0; at < tensor.elements(); ++at) {
      const auto noise = static_cast<float>(2 * uniform(i, 0, static_cast<std::uint64_t>(at)) - 1);
      values[at] = scale * noise + (norm ? 1.0f : 0.0f);
    }
    tensor.data = {buffer.data(), tensor.data.size()};
    checkpoint.buffers.push_back(std::move(buffer));
  }
  checkpoint.index_tensors();
  return checkpoint;
}

TEST(RecurrentWorkers, CopyStatesAndStartAgain) {
  const LoadOptions load{.threads = 1, .context = 128, .sequences = 2, .batch_rows = 64};
  const auto engine = std::move(Engine::load(recurrent_checkpoint(), load)).value();
  const auto alone = std::move(Engine::load(recurrent_checkpoint(), load)).value();
  const ServiceOptions options{.running = 2, .chunk = 16};
  Worker worker(*engine, options);
  const GenerateRequest asked = request_of(some_tokens(40, 80), 8);
  auto request = make_request({.generate = asked, .choices = 4}, *engine, options).value();
  const auto stream = make_answer_stream(request->stream);
  worker.add(std::move(request));
  while (!worker.idle()) worker.step();
  const SeenAnswer seen = read_all(*stream);
  for (int choice = 0; choice < 4; ++choice) {
    expect_same(seen.choices[static_cast<std::size_t>(choice)], run_alone(*alone, asked, choice),
                std::to_string(choice));
  }
  EXPECT_EQ(worker.stats().rows, 3u * 40 + 4 * 7);  // two choices began when the prompt was gone
  EXPECT_EQ(worker.stats().pages_cached, 0);
}

TEST(RecurrentWorkers, HaveNoStore) {
  const LoadOptions load{.threads = 1, .context = 128, .sequences = 2, .batch_rows = 64};
  const auto service = Service::start(std::move(Engine::load(recurrent_checkpoint(), load)).value(),
                                      {.store = PrefixStoreOptions{.folder = testing::TempDir()}});
  ASSERT_FALSE(service.ok());
  EXPECT_EQ(service.error().kind, ErrorKind::kUnsupported);
  EXPECT_EQ(service.error().where, "prefix_store");
}

}  // namespace
}  // namespace maestrale::engine
