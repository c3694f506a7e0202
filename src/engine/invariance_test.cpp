// The promise of docs/numerics.md: the same request gives the same bits, whatever else is in the batch,
// however many threads run, whether its beginning was cached, however the prompt was cut, on every
// instruction set.
#include <gtest/gtest.h>
#include <xxhash.h>

#include <algorithm>
#include <functional>
#include <ostream>

#include "engine/test_support.h"

namespace maestrale::engine {
namespace {

constexpr std::int64_t kPrompt = 67;  // crosses the end of a KV page
constexpr std::int64_t kCached = 37;  // of them for the warm run
constexpr std::int64_t kRows = 96;    // of one forward at most

struct Case {
  std::string name;
  bool all_threads = false;   // else one and three
  bool all_kv_types = false;  // else f16
  std::function<Result<files::Checkpoint>()> open;
};

std::ostream& operator<<(std::ostream& out, const Case& made) { return out << made.name; }

Case synthetic(const std::string& name, DType dtype, std::int64_t window, bool all_kv_types = false) {
  return {name, window == 0, all_kv_types,
          [=]() -> Result<files::Checkpoint> { return tiny_checkpoint({.dtype = dtype, .window = window}); }};
}

// A golden case has at least one form: Hugging Face is the first choice, then Mistral native, then GGUF.
std::filesystem::path checkpoint_of(const std::filesystem::path& folder) {
  for (const char* form : {"hf", "native"}) {
    if (std::filesystem::is_directory(folder / form)) return folder / form;
  }
  return folder / "model.gguf";
}

std::vector<Case> cases() {
  std::vector<Case> all = {synthetic("f32", DType::kF32, 0, true), synthetic("q4_0", DType::kQ4_0, 0),
                           synthetic("q4_k", DType::kQ4_K, 0, true), synthetic("q8_0", DType::kQ8_0, 0),
                           synthetic("q4_k_window", DType::kQ4_K, 20)};
  const std::filesystem::path golden = shared_path("golden/arch");
  if (golden.empty()) return all;
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::directory_iterator(golden)) folders.push_back(entry.path());
  std::sort(folders.begin(), folders.end());
  for (const std::filesystem::path& folder : folders) {
    std::string name = "golden_" + folder.filename().string();
    std::replace(name.begin(), name.end(), '-', '_');
    all.push_back({name, false, false, [file = checkpoint_of(folder)] {
                     return files::open_checkpoint(file, {.load_tokenizer = false});
                   }});
  }
  return all;
}

using Logits = std::vector<float>;

std::uint64_t hash(const Logits& logits) { return XXH3_64bits(logits.data(), logits.size() * sizeof(float)); }

// One request, run in many ways on one engine.
class Runner {
 public:
  explicit Runner(Engine& engine)
      : engine_(engine),
        width_(static_cast<std::size_t>(engine.info().vocabulary)),
        prompt_(some_tokens(kPrompt, engine.info().vocabulary)) {}

  Logits alone(std::int64_t chunk) {
    const int sequence = engine_.open_sequence();
    Logits logits = append(sequence, 0, chunk);
    engine_.close_sequence(sequence);
    return logits;
  }

  // The first tokens come from an earlier run that went on differently.
  Logits warm(std::int64_t chunk) {
    const int sequence = engine_.open_sequence();
    Logits logits = append(sequence, 0, kPrompt);
    std::vector<text::TokenId> other = some_tokens(kPrompt - kCached, engine_.info().vocabulary, 5);
    engine_.truncate(sequence, kCached);
    EXPECT_TRUE(engine_.append(sequence, other, kCached, nullptr).ok());
    engine_.truncate(sequence, kCached);
    const Logits rest = append(sequence, kCached, chunk);
    std::copy(rest.begin(), rest.end(), logits.begin() + static_cast<std::ptrdiff_t>(kCached * width_));
    engine_.close_sequence(sequence);
    return logits;
  }

  // Between the rows of one request that is being read and one that is being answered.
  Logits among_mates(std::int64_t chunk) {
    const int reading = engine_.open_sequence(), own = engine_.open_sequence(),
              answering = engine_.open_sequence();
    const std::vector<text::TokenId> mate = some_tokens(kPrompt, engine_.info().vocabulary, 9);
    Logits all, logits;
    for (std::int64_t at = 0; at < kPrompt; at += chunk) {
      clear();
      const std::int64_t count = std::min(chunk, kPrompt - at), step = at / chunk;
      add(reading, mate, step % (kPrompt / 3) * 3, 3);
      add(own, prompt_, at, count);
      add(answering, mate, step, 1);
      for (std::int64_t row = 0; row < count; ++row) wanted_.push_back(static_cast<std::int32_t>(row + 3));
      logits.resize(static_cast<std::size_t>(count) * width_);
      const Status status = engine_.forward({tokens_, positions_, sequences_, wanted_}, logits.data());
      EXPECT_TRUE(status.ok()) << status.error().render();
      all.insert(all.end(), logits.begin(), logits.end());
    }
    for (const int sequence : {reading, own, answering}) engine_.close_sequence(sequence);
    return all;
  }

 private:
  Logits append(int sequence, std::int64_t from, std::int64_t chunk) {
    Logits logits(static_cast<std::size_t>(kPrompt - from) * width_);
    for (std::int64_t at = from; at < kPrompt; at += chunk) {
      const auto count = static_cast<std::size_t>(std::min(chunk, kPrompt - at));
      const Status status =
          engine_.append(sequence, std::span(prompt_).subspan(static_cast<std::size_t>(at), count), at,
                         nullptr, logits.data() + static_cast<std::size_t>(at - from) * width_);
      EXPECT_TRUE(status.ok()) << status.error().render();
    }
    return logits;
  }

  void clear() {
    for (auto* list : {&tokens_, &positions_, &sequences_, &wanted_}) list->clear();
  }

  void add(int sequence, const std::vector<text::TokenId>& tokens, std::int64_t from, std::int64_t count) {
    for (std::int64_t i = from; i < from + count; ++i) {
      tokens_.push_back(tokens[static_cast<std::size_t>(i)]);
      positions_.push_back(static_cast<std::int32_t>(i));
      sequences_.push_back(sequence);
    }
  }

  Engine& engine_;
  std::size_t width_;
  std::vector<text::TokenId> prompt_;
  std::vector<std::int32_t> tokens_, positions_, sequences_, wanted_;
};

class Invariance : public testing::TestWithParam<Case> {
 protected:
  void expect_same(const Logits& found, const std::string& how) {
    if (truth_.empty()) truth_ = found;
    if (hash(found) == hash(truth_)) return;
    ASSERT_EQ(found.size(), truth_.size()) << how;
    for (std::size_t i = 0; i < found.size(); ++i) {
      ASSERT_EQ(found[i], truth_[i]) << how << ", position " << i / (found.size() / kPrompt);
    }
    FAIL() << how << ": the bits differ where the values do not";
  }

  void run(const std::string& isa, int threads, ops::KvType type) {
    auto checkpoint = GetParam().open();
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().render();
    auto loaded = Engine::load(std::move(checkpoint).value(), {.threads = threads,
                                                               .context = 128,
                                                               .sequences = 3,
                                                               .kv_type = type,
                                                               .batch_rows = kRows,
                                                               .isa = isa});
    ASSERT_TRUE(loaded.ok()) << loaded.error().render();
    Runner runner(**loaded);
    const std::string where =
        isa + ", " + std::to_string(threads) + " threads, KV " + std::string(ops::kv_type_name(type));
    for (const std::int64_t chunk : {std::int64_t{1}, std::int64_t{7}, std::int64_t{64}, kPrompt}) {
      if (chunk == 1 && threads % 2 == 0) continue;  // token by token is the slow one
      expect_same(runner.alone(chunk), where + ", chunks of " + std::to_string(chunk));
    }
    expect_same(runner.warm(7), where + ", warm");
    expect_same(runner.among_mates(5), where + ", among mates");
  }

  Logits truth_;
};

TEST_P(Invariance, OneHashOfLogits) {
  for (const ops::KvType type : {ops::KvType::kF16, ops::KvType::kF32, ops::KvType::kQ8}) {
    if (type != ops::KvType::kF16 && !GetParam().all_kv_types) continue;
    truth_.clear();
    for (const std::string& isa : usable_instruction_sets()) {
      for (const int threads : {1, 2, 3, 5}) {
        const bool all_threads = GetParam().all_threads && type == ops::KvType::kF16;
        if (!all_threads && threads != 1 && threads != 3) continue;
        run(isa, threads, type);
        if (HasFatalFailure()) return;
      }
    }
    // Dead logits would be the same everywhere too.
    EXPECT_TRUE(std::all_of(truth_.begin(), truth_.end(), [](float logit) { return std::isfinite(logit); }));
    EXPECT_NE(*std::min_element(truth_.begin(), truth_.end()),
              *std::max_element(truth_.begin(), truth_.end()));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Invariance, testing::ValuesIn(cases()),
                         [](const auto& made) { return made.param.name; });

}  // namespace
}  // namespace maestrale::engine
