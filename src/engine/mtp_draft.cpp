#include "engine/mtp_draft.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "engine/draft.h"
#include "engine/engine.h"

namespace maestrale::engine {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

// The head reads each lane's last token and state; the state that takes its place is left in states_.
Status MtpDraft::step(Engine& engine, std::span<const Asked> asked, std::vector<Lane>& lanes) {
  for (auto* list : {&tokens_, &positions_, &sequences_}) list->clear();
  for (const Lane& lane : lanes) {
    tokens_.push_back(lane.token);
    positions_.push_back(static_cast<std::int32_t>(lane.position));
    sequences_.push_back(asked[lane.index].sequence);
  }
  const std::size_t needed = lanes.size() * static_cast<std::size_t>(engine.info().vocabulary);
  if (logits_.size() < needed) logits_.resize(needed);
  return engine.predict({tokens_, positions_, sequences_, {}}, states_.data(), logits_.data());
}

std::vector<std::vector<text::TokenId>> MtpDraft::guess(Engine& engine, std::span<const Asked> asked,
                                                        bool bold) {
  std::vector<std::vector<text::TokenId>> guesses(asked.size());
  const auto hidden = static_cast<std::size_t>(engine.info().hidden_size);
  const auto vocabulary = static_cast<std::size_t>(engine.info().vocabulary);
  std::vector<Lane> lanes;
  states_.clear();
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const std::int64_t last = std::ssize(asked[i].history) - 1;
    if (asked[i].most <= 0 || last < 1) continue;
    const float* state = engine.kv().recent(asked[i].sequence).find(last - 1);
    if (state == nullptr) continue;
    states_.insert(states_.end(), state, state + hidden);
    lanes.push_back({.index = i, .token = asked[i].history.back(), .position = last, .left = asked[i].most});
  }
  const Clock::time_point start = Clock::now();
  std::size_t computed = 0;
  while (!lanes.empty() && step(engine, asked, lanes).ok()) {
    computed += lanes.size();
    std::size_t kept = 0;
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      Lane lane = lanes[i];
      const auto token = likeliest_token(std::span(logits_).subspan(i * vocabulary, vocabulary),
                                         bold ? 0 : kUnsure, lane.chance);
      if (!token) continue;
      guesses[lane.index].push_back(*token);
      if (--lane.left == 0) continue;
      lane.token = *token;
      ++lane.position;
      std::copy_n(states_.begin() + static_cast<std::ptrdiff_t>(i * hidden), hidden,
                  states_.begin() + static_cast<std::ptrdiff_t>(kept * hidden));
      lanes[kept++] = lane;
    }
    lanes.resize(kept);
  }
  if (computed == 0) return guesses;
  constexpr double kFade = 0.9;
  const double each =
      std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(computed);
  seconds_ = seconds_ == 0 ? each : kFade * seconds_ + (1 - kFade) * each;
  return guesses;
}

}  // namespace maestrale::engine
