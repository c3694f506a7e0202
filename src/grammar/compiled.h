// What a GrammarPtr points to: the network, and the shared memory of all who have walked it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "grammar/grammar.h"
#include "grammar/network.h"
#include "grammar/state_store.h"
#include "grammar/token_table.h"

namespace maestrale::grammar {

// The tokens that may follow at one position, as bits or, where they are few, as a list.
struct TokenMask {
  std::vector<std::uint64_t> bits;
  std::vector<text::TokenId> list;
  bool dense = false;
  std::vector<text::TokenId> keyed;  // those among them that end a free key: to be compared with its siblings
};

// Positions and masks. When it has grown beyond its limit, matchers move to a fresh one.
class Walk {
 public:
  static constexpr std::size_t kBytesMax = std::size_t{64} << 20;

  explicit Walk(const Network& network) : states(network) {}
  const TokenMask& mask(StateStore::Id position, const TokenTablePtr& tokens);
  bool full() const { return mask_bytes_ + states.bytes() > kBytesMax; }

  std::mutex mutex;
  StateStore states;

 private:
  struct Cache {
    TokenTablePtr tokens;
    std::unordered_map<StateStore::Id, TokenMask> masks;
  };
  TokenMask compute(StateStore::Id position, const TokenTable& tokens);
  std::vector<Cache> caches_;  // one for each vocabulary
  std::size_t mask_bytes_ = 0;
};

class Grammar {
 public:
  Grammar(Network network, bool unique_keys) : network_(std::move(network)), unique_keys_(unique_keys) {}

  const Network& network() const { return network_; }
  bool unique_keys() const { return unique_keys_; }  // texts are JSON whose free keys must differ
  // The walk to use now; another than last time when that one is full.
  std::shared_ptr<Walk> walk() const;

 private:
  Network network_;
  bool unique_keys_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<Walk> walk_;
};

}  // namespace maestrale::grammar
