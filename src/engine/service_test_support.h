// What the tests of the service share: an answer as its reader saw it, and the same request run alone.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/service.h"
#include "engine/test_support.h"

namespace maestrale::engine {

struct SeenChoice {
  std::vector<text::TokenId> tokens;
  std::string text;
  std::vector<std::uint32_t> logprobs;  // bits, the alternatives' after each token's own
  std::optional<FinishReason> reason;

  void add(const TokenEvent& event) {
    text += event.text;
    if (!event.is_token) return;
    tokens.push_back(event.token);
    logprobs.push_back(std::bit_cast<std::uint32_t>(event.logprob));
    for (const TokenLogprob& other : event.top_logprobs) {
      logprobs.push_back(static_cast<std::uint32_t>(other.token));
      logprobs.push_back(std::bit_cast<std::uint32_t>(other.logprob));
    }
  }
};

struct SeenAnswer {
  std::vector<SeenChoice> choices;
  std::optional<RequestEnd> end;

  void add(const ServiceEvent& event) {
    EXPECT_FALSE(end.has_value()) << "the end comes last";
    if (const auto* over = std::get_if<RequestEnd>(&event.what)) {
      end = *over;
      return;
    }
    if (static_cast<int>(choices.size()) <= event.choice)
      choices.resize(static_cast<std::size_t>(event.choice) + 1);
    SeenChoice& choice = choices[static_cast<std::size_t>(event.choice)];
    EXPECT_FALSE(choice.reason.has_value()) << "nothing follows the end of a choice";
    if (const auto* token = std::get_if<TokenEvent>(&event.what)) choice.add(*token);
    if (const auto* over = std::get_if<ChoiceEnd>(&event.what)) choice.reason = over->reason;
  }
};

// Everything that is there now.
inline void read_ready(AnswerStream& stream, SeenAnswer& seen) {
  while (auto event = stream.try_next()) seen.add(*event);
}
// Everything to the end.
inline SeenAnswer read_all(AnswerStream& stream) {
  SeenAnswer seen;
  while (auto event = stream.next()) seen.add(*event);
  return seen;
}

// The request's choice on an engine of its own.
inline SeenChoice run_alone(Engine& engine, GenerateRequest request, int choice = 0,
                            TokenConstraint* constraint = nullptr) {
  SeenChoice seen;
  request.sampling.seed += static_cast<std::uint64_t>(choice);
  const auto on_token = [&](const TokenEvent& event) {
    seen.add(event);
    return true;
  };
  const auto result = engine.generate(request, on_token, constraint);
  EXPECT_TRUE(result.ok()) << result.error().render();
  if (result.ok()) seen.reason = result->reason;
  return seen;
}

inline void expect_same(const SeenChoice& found, const SeenChoice& truth, const std::string& where) {
  EXPECT_EQ(found.tokens, truth.tokens) << where;
  EXPECT_EQ(found.text, truth.text) << where;
  EXPECT_EQ(found.logprobs, truth.logprobs) << where;
  EXPECT_EQ(found.reason, truth.reason) << where;
}

inline GenerateRequest request_of(std::vector<text::TokenId> prompt, std::int64_t max_tokens,
                                  double temperature = 1) {
  GenerateRequest request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  request.sampling.temperature = temperature;
  return request;
}

// The bytes of one text, then nothing more.
class Spelling : public TokenConstraint {
 public:
  explicit Spelling(std::string text) : text_(std::move(text)) {}
  void mask(std::span<std::uint64_t> mask) override {
    for (std::uint64_t& word : mask) word = 0;
    const auto byte = static_cast<unsigned char>(text_[at_]);
    mask[byte / 64] |= std::uint64_t{1} << (byte % 64);
  }
  bool accept(text::TokenId token) override { return static_cast<unsigned char>(text_[at_++]) == token; }
  bool finished() const override { return at_ == text_.size(); }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

// An engine whose tokens are bytes, for many sequences in a pool of `kv_tokens` positions.
inline std::unique_ptr<Engine> byte_engine(int threads, std::int64_t kv_tokens, std::int64_t batch_rows = 128,
                                           std::int64_t context = 256) {
  files::Checkpoint checkpoint = tiny_checkpoint({.dtype = DType::kQ8_0, .context = context, .layers = 1});
  checkpoint.tokenizer = byte_tokenizer(301);
  auto engine = Engine::load(std::move(checkpoint), {.threads = threads,
                                                     .context = context,
                                                     .sequences = 16,
                                                     .kv_tokens = kv_tokens,
                                                     .batch_rows = batch_rows});
  EXPECT_TRUE(engine.ok()) << engine.error().render();
  return engine.ok() ? std::move(engine).value() : nullptr;
}

}  // namespace maestrale::engine
