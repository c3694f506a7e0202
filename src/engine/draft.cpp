#include "engine/draft.h"

#include <algorithm>
#include <cmath>

#include "engine/draft_model.h"
#include "engine/mtp_draft.h"

namespace maestrale::engine {
namespace {

constexpr double kHopeful = 0.6;
constexpr std::size_t kLongest = 4, kShortest = 2;  // tokens that have to agree
constexpr std::size_t kFarthest = 16384;            // tokens back

}  // namespace

std::vector<text::TokenId> look_up_draft(std::span<const text::TokenId> history, std::int64_t most) {
  if (history.size() > kFarthest) history = history.last(kFarthest);
  std::size_t best = 0, best_end = 0;
  // Ends of earlier places, the latest first.
  for (std::size_t end = history.size() - 1; end >= kShortest && best < kLongest; --end) {
    std::size_t same = 0;
    while (same < kLongest && same < end && history[end - 1 - same] == history[history.size() - 1 - same])
      ++same;
    if (same <= best || same < kShortest) continue;
    best = same;
    best_end = end;
  }
  if (best == 0) return {};
  const auto following = history.subspan(best_end);
  const auto count = std::min(following.size(), static_cast<std::size_t>(std::max<std::int64_t>(most, 0)));
  return {following.begin(), following.begin() + static_cast<std::ptrdiff_t>(count)};
}

std::optional<text::TokenId> likeliest_token(std::span<const float> logits, double least, double& chance) {
  const auto best = std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit - *best));
  chance /= sum;
  if (!(chance >= least)) return std::nullopt;
  return static_cast<text::TokenId>(best - logits.begin());
}

std::int64_t DraftMeter::choose(std::int64_t most, std::int64_t rows, const StepCost& cost,
                                double guess_s) const {
  const auto others = static_cast<double>(rows);
  double seconds = cost.fixed_s + cost.row_s * others, tokens = others, chance = 1;
  if (seconds <= 0) return 0;  // nothing is known yet
  std::int64_t best = 0;
  double best_rate = tokens / seconds;
  for (std::int64_t count = 1; count <= most; ++count) {
    chance *= right_;
    tokens += chance;
    seconds += cost.row_s + guess_s;
    if (tokens / seconds <= best_rate) continue;
    best = count;
    best_rate = tokens / seconds;
  }
  return best;
}

void DraftMeter::add(std::int64_t tried, std::int64_t right) {
  constexpr double kFade = 0.8;
  const std::int64_t judged = std::min(tried, right + 1);  // after the first wrong one nothing is known
  for (std::int64_t i = 0; i < judged; ++i) right_ = kFade * right_ + (i < right ? 1 - kFade : 0);
}

void DraftMeter::rest() { right_ += 0.02 * (kHopeful - right_); }

std::int64_t Drafter::choose(DraftMeter& meter, std::int64_t most, const Step& step, double guess_s) const {
  if (step.always) return most;
  const std::int64_t count = meter.choose(most, step.rows, step.cost, guess_s);
  if (count == 0) meter.rest();
  return count;
}

// What stands there already costs nothing, so it is looked up first.
std::vector<text::TokenId> Drafter::guess(int sequence, std::span<const text::TokenId> history,
                                          DraftModel* model, const Step& step) {
  if (step.most <= 0) return {};
  std::vector<text::TokenId> draft = look_up_draft(history, step.most);
  if (!draft.empty()) draft.resize(static_cast<std::size_t>(choose(lookup_, std::ssize(draft), step, 0)));
  by_model_ = draft.empty() && model != nullptr;
  if (!by_model_) return draft;
  const std::int64_t most = choose(model_, step.most, step, model->seconds());
  return most == 0 ? draft : model->guess(sequence, history, most, step.catch_up, step.always);
}

std::int64_t Drafter::choose_mtp(const MtpDraft& mtp, const Step& step) {
  if (step.most <= 0) return 0;
  by_model_ = true;
  return choose(model_, step.most, step, mtp.seconds());
}

}  // namespace maestrale::engine
