#include "grammar/compiled.h"

#include <bit>

namespace maestrale::grammar {
namespace {

// Work that one mask may cost, in network states looked at: some tenths of a second. Tokens that come later
// in byte order are not allowed. Only grammars of extreme ambiguity come near.
constexpr std::size_t kMaskWorkMax = 8'000'000;

class TrieWalk {
 public:
  TrieWalk(StateStore& states, TokenMask& mask) : states_(states), mask_(mask) {}

  void run(StateStore::Id from, const TokenTrie& trie) {
    std::vector<Step> path(1, {from, false});
    std::size_t work = 0;
    for (std::uint32_t i = 0; i < trie.nodes.size() && work < kMaskWorkMax;) {
      const TrieNode& node = trie.nodes[i];
      const Step& before = path[node.depth - std::size_t{1}];
      const StateStore::Id to = states_.step(before.position, node.byte);
      work += states_.width(to);
      if (to == StateStore::kDead) {
        i = node.skip;
        continue;
      }
      const Step here{to, before.keyed || states_.free_key_end(to)};
      if (path.size() <= node.depth) path.resize(node.depth + std::size_t{1});
      path[node.depth] = here;
      for (std::uint32_t t = node.first; t < node.first + node.count; ++t) allow(trie.tokens[t], here.keyed);
      ++i;
    }
  }
  void allow(text::TokenId token, bool keyed) {
    const auto at = static_cast<std::size_t>(token);
    mask_.bits[at / 64] |= std::uint64_t{1} << at % 64;
    if (keyed) mask_.keyed.push_back(token);
  }

 private:
  struct Step {
    StateStore::Id position = 0;
    bool keyed = false;
  };
  StateStore& states_;
  TokenMask& mask_;
};

// A list where that is shorter than the bits.
void make_sparse(TokenMask& mask) {
  std::size_t count = 0;
  for (const std::uint64_t word : mask.bits) count += static_cast<std::size_t>(std::popcount(word));
  mask.dense = count > mask.bits.size();
  if (mask.dense) return;
  for (std::size_t i = 0; i < mask.bits.size(); ++i) {
    for (std::uint64_t word = mask.bits[i]; word != 0; word &= word - 1) {
      mask.list.push_back(static_cast<text::TokenId>(i * 64) + std::countr_zero(word));
    }
  }
  mask.bits = {};
}

}  // namespace

TokenMask Walk::compute(StateStore::Id position, const TokenTable& tokens) {
  TokenMask mask;
  const Slice& slice = tokens.slice(states.plain(position));
  mask.bits = slice.plain;
  TrieWalk walk(states, mask);
  walk.run(position, slice.rest);
  if (states.accepting(position)) {
    for (const text::TokenId end : tokens.end_tokens()) walk.allow(end, false);
  }
  make_sparse(mask);
  return mask;
}

const TokenMask& Walk::mask(StateStore::Id position, const TokenTablePtr& tokens) {
  Cache* cache = nullptr;
  for (Cache& known : caches_) {
    if (known.tokens == tokens) cache = &known;
  }
  if (cache == nullptr) cache = &caches_.emplace_back(Cache{tokens, {}});
  const auto found = cache->masks.find(position);
  if (found != cache->masks.end()) return found->second;
  TokenMask made = compute(position, *tokens);
  mask_bytes_ += sizeof(TokenMask) + made.bits.size() * 8 + (made.list.size() + made.keyed.size()) * 4;
  return cache->masks.emplace(position, std::move(made)).first->second;
}

std::shared_ptr<Walk> Grammar::walk() const {
  const std::lock_guard lock(mutex_);
  if (walk_ == nullptr) {
    walk_ = std::make_shared<Walk>(network_);
  } else {
    const std::lock_guard walking(walk_->mutex);
    if (!walk_->full()) return walk_;
  }
  return walk_ = std::make_shared<Walk>(network_);
}

}  // namespace maestrale::grammar
