// Drafts: tokens guessed ahead, by looking up what followed the last time (prompt lookup), by a smaller model
// (engine/draft_model.h) or by a layer of the model itself (engine/mtp_draft.h). The model computes them
// together with the token before them; those that it would have chosen itself are kept, the rest forgotten,
// so the answer is the same with and without.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/schedule.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::engine {

// What followed the most recent place where the last tokens (4, else 3, else 2) stood before; at most `most`
// tokens, none where there is no such place.
std::vector<text::TokenId> look_up_draft(std::span<const text::TokenId> history, std::int64_t most);

// Guessing stops where the chance that all guesses so far are right falls below this.
constexpr double kUnsure = 0.25;
// The likeliest token, whose probability `chance` is multiplied by; nothing where that falls below `least`.
std::optional<text::TokenId> likeliest_token(std::span<const float> logits, double least, double& chance);

// How many guesses pay, from how often they were right.
class DraftMeter {
 public:
  // Guesses that give the most tokens per second in a step of `rows` rows that give a token each; at most
  // `most`. `guess_s`: seconds to make one.
  std::int64_t choose(std::int64_t most, std::int64_t rows, const StepCost& cost, double guess_s = 0) const;
  // So many were tried, and so many right, one after the other.
  void add(std::int64_t tried, std::int64_t right);
  void rest();  // none paid: it is forgotten little by little that others were wrong

 private:
  double right_ = 0.6;  // share of guesses that are right
};

class DraftModel;
class MtpDraft;

// What one answer is guessed ahead by, and how well each of them does.
class Drafter {
 public:
  struct Step {
    std::int64_t most = 0;  // guesses
    std::int64_t rows = 1;  // that give a token each, this answer's among them
    StepCost cost;
    bool always = false;        // whether or not it pays
    std::int64_t catch_up = 0;  // tokens that the draft model may read first
  };
  // `model` may be null. `sequence`: the answer's, in the model that answers.
  std::vector<text::TokenId> guess(int sequence, std::span<const text::TokenId> history, DraftModel* model,
                                   const Step& step);
  // How many guesses to ask of the model's own layer, where guess() has none and there is no other model.
  std::int64_t choose_mtp(const MtpDraft& mtp, const Step& step);
  // So many of the last guesses were tried, and so many right, one after the other.
  void add(std::int64_t tried, std::int64_t right) { (by_model_ ? model_ : lookup_).add(tried, right); }

 private:
  std::int64_t choose(DraftMeter& meter, std::int64_t most, const Step& step, double guess_s) const;
  DraftMeter lookup_, model_;  // model_: another model's guesses or those of the model's own layer
  bool by_model_ = false;      // the last guesses
};

}  // namespace maestrale::engine
