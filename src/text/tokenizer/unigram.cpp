#include "text/tokenizer/unigram.h"

#include <algorithm>
#include <limits>

#include "base/utf8.h"

namespace maestrale::text {
namespace {

constexpr double kUnknownPenalty = 10.0;

struct Best {
  double score = -std::numeric_limits<double>::infinity();
  std::size_t begin = 0;
  TokenId token = kNoToken;
};

}  // namespace

UnigramModel::UnigramModel(const Vocabulary& vocabulary, const std::vector<TokenId>& tokens,
                           UnigramSettings settings)
    : settings_(std::move(settings)) {
  float lowest = 0;
  for (const TokenId token : tokens) {
    if (vocabulary.bytes(token).empty()) continue;
    trie_.insert(vocabulary.bytes(token), token);
    lowest = std::min(lowest, settings_.scores[static_cast<std::size_t>(token)]);
  }
  unknown_score_ = static_cast<double>(lowest) - kUnknownPenalty;
}

void UnigramModel::encode(std::string_view piece, std::vector<TokenId>& out) const {
  std::vector<Best> best(piece.size() + 1);
  best[0].score = 0;
  const auto offer = [&](std::size_t begin, std::size_t end, double score, TokenId token) {
    const double total = best[begin].score + score;
    if (total > best[end].score) best[end] = {total, begin, token};
  };
  for (std::size_t pos = 0; pos < piece.size();) {
    const auto length = static_cast<std::size_t>(decode_utf8(piece.substr(pos)).length);
    bool whole_character = false;
    std::uint32_t node = ByteTrie::kRoot;
    for (std::size_t end = pos; end < piece.size();) {
      node = trie_.step(node, piece[end++]);
      if (node == ByteTrie::kNone) break;
      const TokenId token = trie_.value(node);
      if (token < 0) continue;
      offer(pos, end, static_cast<double>(settings_.scores[static_cast<std::size_t>(token)]), token);
      whole_character = whole_character || end - pos == length;
    }
    if (!whole_character) offer(pos, pos + length, unknown_score_, kNoToken);
    pos += length;
  }
  std::vector<std::size_t> ends;
  for (std::size_t end = piece.size(); end > 0; end = best[end].begin) ends.push_back(end);
  std::size_t unknown_begin = 0;
  for (std::size_t i = ends.size(); i-- > 0;) {  // runs of unknown characters become one unknown token
    const Best& step = best[ends[i]];
    const bool unknown = step.token == kNoToken;
    if (!unknown) out.push_back(step.token);
    if (unknown && (i + 1 == ends.size() || best[ends[i + 1]].token != kNoToken)) unknown_begin = step.begin;
    if (unknown && (i == 0 || best[ends[i - 1]].token != kNoToken)) {
      emit_unknown(piece.substr(unknown_begin, ends[i] - unknown_begin), out);
    }
  }
}

void UnigramModel::emit_unknown(std::string_view bytes, std::vector<TokenId>& out) const {
  bool all = settings_.byte_fallback;
  for (const char byte : bytes)
    all = all && settings_.byte_tokens[static_cast<unsigned char>(byte)] != kNoToken;
  if (all) {
    for (const char byte : bytes) out.push_back(settings_.byte_tokens[static_cast<unsigned char>(byte)]);
  } else if (settings_.unknown != kNoToken) {
    out.push_back(settings_.unknown);
  }
}

}  // namespace maestrale::text
