#include "text/tokenizer/bpe.h"

#include <bit>
#include <unordered_map>

#include "base/utf8.h"
#include "text/tokenizer/word_cache.h"

namespace maestrale::text {

PairTable::PairTable(std::size_t pairs_max)
    : slots_(std::bit_ceil(pairs_max * 2 + 2)), mask_(slots_.size() - 1) {}

void PairTable::insert(TokenId left, TokenId right, Join join) {
  const std::uint64_t key = pair_key(left, right);
  std::size_t at = hash(key);
  while (slots_[at].key != kFree && slots_[at].key != key) at = (at + 1) & mask_;
  if (slots_[at].key == kFree) slots_[at] = {key, join};
}

BpeModel::BpeModel(const Vocabulary& vocabulary, PieceTable table, BpeSettings settings,
                   std::unique_ptr<const PairTable> pairs)
    : vocabulary_(&vocabulary),
      table_(std::move(table)),
      settings_(std::move(settings)),
      pairs_(std::move(pairs)),
      owner_(WordCache::new_owner()) {
  for (TokenId token = 0; token < vocabulary.size() && !has_unused_; ++token) {
    has_unused_ =
        settings_.rule == BpeSettings::Rule::kScores && vocabulary.kind(token) == TokenKind::kUnused;
  }
  if (!settings_.characters) encode_uncached("\xef\xbf\xbd", replacement_);
}

void BpeModel::encode(std::string_view piece, std::vector<TokenId>& out) const {
  if (piece.empty()) return;
  if (piece.size() > WordCache::kBytesMax) return encode_uncached(piece, out);
  WordCache& cache = WordCache::of_this_thread();
  const WordCache::Key key = WordCache::key(owner_, piece);
  if (const WordCache::Entry* entry = cache.find(key)) {
    for (std::size_t i = 0; i < entry->count(); ++i) out.push_back(entry->token(i));
    return;
  }
  const std::size_t before = out.size();
  encode_uncached(piece, out);
  cache.put(key, std::span<const TokenId>(out).subspan(before));
}

void BpeModel::start_symbols(std::string_view piece, std::vector<Symbol>& symbols) const {
  if (!settings_.characters) {
    symbols.resize(piece.size());
    for (std::size_t i = 0; i < piece.size(); ++i) {
      symbols[i] = {static_cast<std::uint32_t>(i), 1,
                    settings_.byte_tokens[static_cast<unsigned char>(piece[i])]};
    }
    return;
  }
  symbols.clear();
  for (std::size_t pos = 0; pos < piece.size(); pos += symbols.back().size) {
    const auto size = static_cast<std::uint32_t>(decode_utf8(piece.substr(pos)).length);
    symbols.push_back({static_cast<std::uint32_t>(pos), size, table_.find(piece.substr(pos, size))});
  }
}

void BpeModel::encode_uncached(std::string_view piece, std::vector<TokenId>& out) const {
  thread_local MergeBuffers buffers;
  if (settings_.whole_piece_first) {
    const TokenId whole = table_.find(piece);
    if (whole != kNoToken) return out.push_back(whole);
  }
  start_symbols(piece, buffers.symbols);
  const auto bytes = [&](const Symbol& left, const Symbol& right) {
    return piece.substr(left.begin, left.size + right.size);
  };
  const auto by_bytes = [&](const Symbol& left, const Symbol& right) -> Join {
    if (left.size + right.size > vocabulary_->longest()) return {};
    const TokenId token = table_.find(bytes(left, right));
    return token == kNoToken ? Join{} : Join{settings_.priorities[static_cast<std::size_t>(token)], token};
  };
  if (settings_.rule == BpeSettings::Rule::kMerges) {
    merge(buffers, [&](const Symbol& left, const Symbol& right) -> Join {
      return left.token == kNoToken || right.token == kNoToken ? Join{}
                                                               : pairs_->find(left.token, right.token);
    });
  } else if (has_unused_) {
    return merge_by_scores(piece, buffers, out);
  } else {
    merge(buffers, by_bytes);
  }
  for (const Symbol& symbol : buffers.symbols) emit(piece, symbol, out);
}

// SentencePiece may join into pieces marked unused on the way to longer ones; what is left of them in the end
// is taken apart again the way it was joined.
void BpeModel::merge_by_scores(std::string_view piece, MergeBuffers& buffers,
                               std::vector<TokenId>& out) const {
  std::unordered_map<std::string_view, std::uint32_t> left_sizes;
  merge(buffers, [&](const Symbol& left, const Symbol& right) -> Join {
    const std::string_view joined = piece.substr(left.begin, left.size + right.size);
    const TokenId token = joined.size() > vocabulary_->longest() ? kNoToken : table_.find(joined);
    if (token == kNoToken) return {};
    if (vocabulary_->kind(token) == TokenKind::kUnused) left_sizes[joined] = left.size;
    return {settings_.priorities[static_cast<std::size_t>(token)], token};
  });
  std::vector<Symbol> pending(buffers.symbols.rbegin(), buffers.symbols.rend());
  while (!pending.empty()) {
    const Symbol symbol = pending.back();
    pending.pop_back();
    const auto split = symbol.token != kNoToken && vocabulary_->kind(symbol.token) == TokenKind::kUnused
                           ? left_sizes.find(piece.substr(symbol.begin, symbol.size))
                           : left_sizes.end();
    if (split == left_sizes.end()) {
      emit(piece, symbol, out);
      continue;
    }
    const std::uint32_t size = split->second;
    const Symbol right{symbol.begin + size, symbol.size - size,
                       table_.find(piece.substr(symbol.begin + size, symbol.size - size))};
    pending.push_back(right);
    pending.push_back({symbol.begin, size, table_.find(piece.substr(symbol.begin, size))});
  }
}

void BpeModel::emit(std::string_view piece, const Symbol& symbol, std::vector<TokenId>& out) const {
  if (symbol.token != kNoToken) return out.push_back(symbol.token);
  emit_unknown(piece.substr(symbol.begin, symbol.size), out);
}

void BpeModel::emit_unknown(std::string_view bytes, std::vector<TokenId>& out) const {
  if (!settings_.characters) {  // `bytes` is one byte that has no token
    // The reference engines drop it, but put U+FFFD where the text is not UTF-8: as for these bytes it never
    // is.
    const auto byte = static_cast<unsigned char>(bytes[0]);
    const bool never_valid = byte == 0xc0 || byte == 0xc1 || byte >= 0xf5;
    if (never_valid) out.insert(out.end(), replacement_.begin(), replacement_.end());
    return;
  }
  bool all = settings_.byte_fallback;
  for (const char byte : bytes)
    all = all && settings_.byte_tokens[static_cast<unsigned char>(byte)] != kNoToken;
  if (all) {
    for (const char byte : bytes) out.push_back(settings_.byte_tokens[static_cast<unsigned char>(byte)]);
  } else if (settings_.unknown != kNoToken) {
    const bool repeated = settings_.fuse_unknown && !out.empty() && out.back() == settings_.unknown;
    if (!repeated) out.push_back(settings_.unknown);
  }
}

}  // namespace maestrale::text
