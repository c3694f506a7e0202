#include "grammar/token_table.h"

#include <algorithm>

#include "base/utf8.h"
#include "grammar/network.h"

namespace maestrale::grammar {
namespace {

constexpr std::array<int, 6> kLengths = {0, 4, 8, 16, 32, 64};
constexpr std::size_t kTokenBytesMax = 60'000;  // longer ones are never offered: a depth has 16 bits

bool stands_in_text(const text::Tokenizer& tokenizer, text::TokenId token,
                    std::span<const std::string_view> spelled) {
  const text::TokenKind kind = tokenizer.kind(token);
  if (kind == text::TokenKind::kControl)
    return std::find(spelled.begin(), spelled.end(), tokenizer.bytes(token)) != spelled.end();
  return kind == text::TokenKind::kNormal || kind == text::TokenKind::kUserDefined ||
         kind == text::TokenKind::kByte;
}

// Number of characters where all are plain, else -1.
int plain_length(std::string_view bytes) {
  int length = 0;
  while (!bytes.empty()) {
    const DecodedCodepoint decoded = decode_utf8(bytes);
    if (!decoded.valid || !is_plain(decoded.codepoint)) return -1;
    bytes.remove_prefix(static_cast<std::size_t>(decoded.length));
    ++length;
  }
  return length;
}

struct Entry {
  std::string_view bytes;
  text::TokenId token = 0;
  int plain = -1;
};

class TrieMaker {
 public:
  void add(const Entry& entry) {
    std::size_t shared = 0;
    const std::size_t most = std::min(entry.bytes.size(), last_.size());
    while (shared < most && entry.bytes[shared] == last_[shared]) ++shared;
    close(shared);
    for (std::size_t i = shared; i < entry.bytes.size(); ++i) {
      open_.push_back(trie_.nodes.size());
      trie_.nodes.push_back({0, static_cast<std::uint32_t>(trie_.tokens.size()), 0,
                             static_cast<std::uint16_t>(i + 1), static_cast<std::uint8_t>(entry.bytes[i])});
    }
    trie_.nodes[open_.back()].count++;
    trie_.tokens.push_back(entry.token);
    last_ = entry.bytes;
  }
  TokenTrie take() {
    close(0);
    return std::move(trie_);
  }

 private:
  void close(std::size_t depth) {
    for (; open_.size() > depth; open_.pop_back()) {
      trie_.nodes[open_.back()].skip = static_cast<std::uint32_t>(trie_.nodes.size());
    }
  }
  TokenTrie trie_;
  std::vector<std::size_t> open_;
  std::string_view last_;
};

}  // namespace

TokenTable::TokenTable(const text::Tokenizer& tokenizer, std::span<const std::string_view> spelled)
    : size_(tokenizer.size()) {
  const auto ends = tokenizer.end_tokens();
  end_tokens_.assign(ends.begin(), ends.end());
  begins_.push_back(0);
  for (text::TokenId token = 0; token < size_; ++token) {
    const std::string_view bytes = tokenizer.bytes(token);
    if (stands_in_text(tokenizer, token, spelled) && !this->ends(token) && bytes.size() <= kTokenBytesMax)
      arena_ += bytes;
    begins_.push_back(static_cast<std::uint32_t>(arena_.size()));
  }
  std::vector<Entry> entries;
  for (text::TokenId token = 0; token < size_; ++token) {
    const std::string_view text = bytes(token);
    if (!text.empty()) entries.push_back({text, token, plain_length(text)});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.token < b.token;
  });
  for (std::size_t i = 0; i < slices_.size(); ++i) {
    slices_[i].length = kLengths[i];
    slices_[i].plain.resize(words());
    TrieMaker rest;
    for (const Entry& entry : entries) {
      if (entry.plain > 0 && entry.plain <= kLengths[i]) {
        const auto token = static_cast<std::size_t>(entry.token);
        slices_[i].plain[token / 64] |= std::uint64_t{1} << token % 64;
      } else {
        rest.add(entry);
      }
    }
    slices_[i].rest = rest.take();
  }
}

std::string_view TokenTable::bytes(text::TokenId token) const {
  if (token < 0 || token >= size_) return {};
  const auto at = static_cast<std::size_t>(token);
  return {arena_.data() + begins_[at], begins_[at + 1] - begins_[at]};
}

bool TokenTable::ends(text::TokenId token) const {
  return std::find(end_tokens_.begin(), end_tokens_.end(), token) != end_tokens_.end();
}

const Slice& TokenTable::slice(int plain) const {
  std::size_t best = 0;
  while (best + 1 < slices_.size() && slices_[best + 1].length <= plain) ++best;
  return slices_[best];
}

TokenTablePtr make_token_table(const text::Tokenizer& tokenizer, std::span<const std::string_view> spelled) {
  return std::make_shared<const TokenTable>(tokenizer, spelled);
}

}  // namespace maestrale::grammar
