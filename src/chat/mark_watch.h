// MarkWatch: follows free text up to the mark that begins a call, whatever tokens spell it. A token that
// would end the mark and go on behind it is forbidden there: what it began could not be held to a schema.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "chat/token_mask.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::chat {

// A mark and the tokens of a vocabulary that may leap over its end.
struct WatchedMark {
  std::string mark;
  std::vector<text::TokenId> beyond;
  const text::Tokenizer* tokenizer = nullptr;
};
WatchedMark watched_mark(std::string mark, const text::Tokenizer& tokenizer);

class MarkWatch {
 public:
  // `watched` must outlive it.
  explicit MarkWatch(const WatchedMark& watched) : watched_(&watched) {}
  void mask(TokenMask mask) const;
  // True where the mark ends with this token; the watch then begins anew.
  bool accept(text::TokenId token);

 private:
  const WatchedMark* watched_;
  std::string tail_;  // the text's last bytes, as many as the mark has
};

}  // namespace maestrale::chat
