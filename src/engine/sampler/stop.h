// StopMatcher: where an answer ends. Text comes in pieces; whatever may be the start of a stop string is held
// back, so no part of one is ever shown. The result does not depend on how the text was cut into pieces.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::engine {

class StopMatcher {
 public:
  static constexpr std::size_t kMaxStrings = 256;
  static constexpr std::size_t kMaxLength = 65536;  // bytes of one stop string

  StopMatcher() = default;
  // Refuses empty, too long and too many strings.
  static Result<StopMatcher> create(const std::vector<std::string>& strings,
                                    std::vector<text::TokenId> tokens);

  // Text that may be shown now. Once a stop string is complete the text before it is returned and stopped()
  // is true; of several strings that of the earliest end counts, and of those the longest.
  std::string push(std::string_view text);
  // The text held back, when the answer ends for another reason.
  std::string flush();

  bool stopped() const { return stopped_by_.has_value(); }
  const std::optional<std::string>& stopped_by() const { return stopped_by_; }
  bool is_stop_token(text::TokenId token) const;

 private:
  struct Pattern {
    std::string text;
    std::vector<std::size_t> fallback;  // Knuth-Morris-Pratt: longest border of the first i bytes
    std::size_t matched = 0;            // bytes of `text` that the input ends with
    bool advance(char byte);            // true when complete
  };

  std::vector<Pattern> patterns_;
  std::vector<text::TokenId> tokens_;  // sorted
  std::string held_;
  std::optional<std::string> stopped_by_;
};

}  // namespace maestrale::engine
