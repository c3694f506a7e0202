// DraftModel: a smaller model that guesses what a larger one of the same vocabulary is going to say. It
// follows the larger one's sequences, each in one of its own that has as much of the same text as was
// computed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace maestrale::engine {

// Whether a token means the same to both. kUsage: it does not, with the first that differs.
Status check_same_vocabulary(const files::Checkpoint& target, const files::Checkpoint& draft);

class DraftModel {
 public:
  // kUnsupported: a model that cannot take back what it has read.
  static Result<std::unique_ptr<DraftModel>> create(std::unique_ptr<Engine> engine);

  // What it would say itself after `history`, at most `most` tokens; fewer where it becomes unsure, unless it
  // is `bold`. Nothing where it has not read that far yet: it reads at most `rows` tokens in one call.
  // `sequence`: the larger model's.
  std::vector<text::TokenId> guess(int sequence, std::span<const text::TokenId> history, std::int64_t most,
                                   std::int64_t rows, bool bold = false);
  // The larger model's sequence is over; its number may come again.
  void forget(int sequence);
  // Seconds that a guess takes, as measured; 0: nothing is known yet.
  double seconds() const { return seconds_; }
  const Engine& engine() const { return *engine_; }

 private:
  struct Follower {
    int sequence = -1;  // of engine_
    std::vector<text::TokenId> tokens;
  };

  explicit DraftModel(std::unique_ptr<Engine> engine);
  Follower& follower(int sequence);
  bool read(Follower& follower, std::span<const text::TokenId> tokens);
  void learn(double seconds);

  std::unique_ptr<Engine> engine_;
  std::unordered_map<int, Follower> followers_;  // by the larger model's sequence
  std::vector<float> logits_;
  double seconds_ = 0;
};

}  // namespace maestrale::engine
