// MtpDraft: guesses of a model's own layer that predicts further tokens (nn/mtp_head.h). It reads the states
// that the model left behind, so it has nothing to catch up with, and guesses for several sequences at once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::engine {

class Engine;

class MtpDraft {
 public:
  struct Asked {
    int sequence = 0;
    std::span<const text::TokenId> history;  // all but the last stand in the sequence, computed
    std::int64_t most = 0;                   // guesses
  };
  // What each says after its history, at most `most` tokens, fewer where it becomes unsure, unless it is
  // `bold`; none where the state that it would begin with is not known. Room for as many tokens after the
  // history must be there or to be had.
  std::vector<std::vector<text::TokenId>> guess(Engine& engine, std::span<const Asked> asked,
                                                bool bold = false);
  // Seconds that a guess takes, as measured; 0: nothing is known yet.
  double seconds() const { return seconds_; }

 private:
  struct Lane {
    std::size_t index = 0;  // of what was asked
    text::TokenId token = 0;
    std::int64_t position = 0, left = 0;
    double chance = 1;
  };
  Status step(Engine& engine, std::span<const Asked> asked, std::vector<Lane>& lanes);

  std::vector<std::int32_t> tokens_, positions_, sequences_;
  std::vector<float> states_, logits_;  // [lanes][hidden], [lanes][vocabulary]
  double seconds_ = 0;
};

}  // namespace maestrale::engine
