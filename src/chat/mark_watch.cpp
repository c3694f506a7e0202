#include "chat/mark_watch.h"

#include <string_view>
#include <utility>

namespace maestrale::chat {
namespace {

// Whether the token's bytes may hold the end of the mark and more behind it.
bool may_go_beyond(std::string_view bytes, std::string_view mark) {
  for (std::size_t last = bytes.find(mark.back()); last + 1 < bytes.size();
       last = bytes.find(mark.back(), last + 1)) {
    const std::string_view begun = bytes.substr(0, last + 1);
    if (mark.ends_with(begun) || begun.ends_with(mark)) return true;
  }
  return false;
}

}  // namespace

WatchedMark watched_mark(std::string mark, const text::Tokenizer& tokenizer) {
  WatchedMark watched{.mark = std::move(mark), .beyond = {}, .tokenizer = &tokenizer};
  for (text::TokenId token = 0; token < tokenizer.size(); ++token) {
    if (may_go_beyond(tokenizer.bytes(token), watched.mark)) watched.beyond.push_back(token);
  }
  return watched;
}

void MarkWatch::mask(TokenMask mask) const {
  const std::string& mark = watched_->mark;
  std::string seen;
  for (const text::TokenId token : watched_->beyond) {
    seen = tail_;
    seen += watched_->tokenizer->bytes(token);
    const std::size_t at = seen.find(mark);
    if (at != std::string::npos && at + mark.size() < seen.size()) forbid(mask, token);
  }
}

bool MarkWatch::accept(text::TokenId token) {
  const std::size_t size = watched_->mark.size();
  tail_ += watched_->tokenizer->bytes(token);
  const bool ended = tail_.ends_with(watched_->mark);
  if (ended) {
    tail_.clear();
  } else if (tail_.size() >= size) {
    tail_.erase(0, tail_.size() - size + 1);
  }
  return ended;
}

}  // namespace maestrale::chat
