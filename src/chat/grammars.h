// Compiled grammars kept for the next request, and the token table of one tokenizer. Thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "chat/request.h"
#include "grammar/grammar.h"

namespace maestrale::chat {

class Grammars {
 public:
  explicit Grammars(const text::Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  grammar::TokenTablePtr table();  // built when first asked for
  // The same with these control tokens as text. A model has one such list.
  grammar::TokenTablePtr spelled_table(const std::vector<std::string_view>& spelled);
  Result<grammar::GrammarPtr> shape(const OutputShape& shape);
  // The arguments of a call. What the schema says and the grammar cannot keep is refused where `strict`; else
  // any object is taken.
  Result<grammar::GrammarPtr> arguments(const json::value& schema, bool strict, const std::string& where);
  // Whole calls of `tools` (as ChatRequest has them), with arguments as arguments() takes them.
  Result<grammar::GrammarPtr> calls(const grammar::CallForm& form, const json::array& tools);
  Result<grammar::GrammarPtr> names(const std::vector<std::string>& names);

 private:
  static constexpr std::size_t kKept = 64;
  template <class Compile>
  Result<grammar::GrammarPtr> kept(const std::string& key, Compile compile);

  const text::Tokenizer* tokenizer_;
  std::mutex mutex_;
  grammar::TokenTablePtr table_, spelled_table_;
  std::list<std::pair<std::string, grammar::GrammarPtr>> recent_;  // latest first
};

}  // namespace maestrale::chat
