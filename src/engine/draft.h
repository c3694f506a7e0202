// Drafts: tokens guessed ahead by looking up what followed the last time (prompt lookup). The model computes
// them together with the token before them; those that it would have chosen itself are kept, the rest
// forgotten, so the answer is the same with and without.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/schedule.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::engine {

// What followed the most recent place where the last tokens (4, else 3, else 2) stood before; at most `most`
// tokens, none where there is no such place.
std::vector<text::TokenId> look_up_draft(std::span<const text::TokenId> history, std::int64_t most);

// How many guesses pay, from how often they were right.
class DraftMeter {
 public:
  // Guesses that give the most tokens per second in a step of `rows` rows that give a token each; at most
  // `most`.
  std::int64_t choose(std::int64_t most, std::int64_t rows, const StepCost& cost) const;
  // So many were tried, and so many right, one after the other.
  void add(std::int64_t tried, std::int64_t right);
  // Keeps as many guesses of a draft as pay, or `always` all of them. Where none does it is forgotten little
  // by little that others were wrong.
  void cut(std::vector<text::TokenId>& draft, std::int64_t rows, const StepCost& cost, bool always);
  void rest();  // such a step

 private:
  double right_ = 0.6;  // share of guesses that are right
};

}  // namespace maestrale::engine
