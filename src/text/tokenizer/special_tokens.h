// Tokens that are looked for in the text before anything else: control tokens such as <s> (only where the
// caller asks for them) and added tokens (always). The leftmost match wins, among those the longest.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/byte_trie.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::text {

struct SpecialToken {
  std::string spelling;  // not empty
  TokenId token = 0;
  bool control = true;       // matched only with parse_special
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // takes the white space after it along
  bool single_word = false;  // only between characters that are not word characters
};

class SpecialTokens {
 public:
  class Sink {
   public:
    virtual void text(std::string_view text) = 0;
    virtual void token(TokenId token) = 0;

   protected:
    ~Sink() = default;
  };

  void add(SpecialToken token);
  void split(std::string_view text, bool parse_special, Sink& sink) const;
  std::optional<TokenId> find(std::string_view spelling) const;
  const std::vector<SpecialToken>& tokens() const { return tokens_; }

 private:
  const SpecialToken* match(std::string_view text, std::size_t pos, bool parse_special) const;

  std::vector<SpecialToken> tokens_;
  ByteTrie trie_;
  std::array<bool, 256> first_added_{};    // first bytes of the added tokens
  std::array<bool, 256> first_control_{};  // and of the control tokens
  bool any_added_ = false;
};

}  // namespace maestrale::text
