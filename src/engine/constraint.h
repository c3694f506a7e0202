// TokenConstraint: what an answer may go on with (structured output).
#pragma once

#include <cstdint>
#include <span>

#include "text/tokenizer/tokenizer.h"

namespace maestrale::engine {

// One per answer; used by one thread at a time.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;
  // Clears the bit of every token that must not come next: token t is bit t % 64 of word t / 64. `mask` comes
  // with all bits set. End tokens are allowed where the text is complete.
  virtual void mask(std::span<std::uint64_t> mask) = 0;
  // `token` was chosen and is part of the answer (an end token never is); false where it was not allowed,
  // which is the caller's mistake.
  virtual bool accept(text::TokenId token) = 0;
  // Nothing but an end may follow: the answer ends here with FinishReason::kStopToken.
  virtual bool finished() const = 0;
};

}  // namespace maestrale::engine
