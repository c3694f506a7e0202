// Structured output: from a JSON Schema, a regular expression, a GBNF grammar or a list of choices to the set
// of tokens that may come next. A Grammar is compiled once and shared; a Matcher follows one answer through
// it. What each language means, what is refused and what the limits are: docs/structured-output.md.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::grammar {

// A compiled grammar: logically immutable, safe to share between threads. It also keeps what its matchers
// learn (states, masks), within a bounded memory, so whoever serves should keep it for the next request.
class Grammar;
using GrammarPtr = std::shared_ptr<const Grammar>;

// How values are written: as JSON; as literals of Python (None, True, False; strings in double quotes); as
// JSON whose keys are bare and whose strings stand as they are between two marks, with no keys that the
// schema does not list.
enum class ValueSyntax { kJson, kPython, kMarked };

struct JsonStyle {
  // Between the tokens of JSON: nothing. Otherwise nothing, one blank, or one or two line ends with up to 20
  // blanks or tabs of indentation.
  bool compact = false;
  ValueSyntax syntax = ValueSyntax::kJson;
  std::string quote = {};  // kMarked: the mark round strings; its only '<' is at its beginning
};

// All errors of the compile functions are the user's: kInvalidInput (not a schema, not an expression),
// kUnsupported (a keyword or construct that cannot be kept exactly, by name), kResource (a limit on size).
// `where` names the source in them; for a schema the JSON pointer of the keyword follows it.

// Draft 2020-12. The text is one JSON value that is valid under the schema. Declared properties come in the
// schema's order, optional ones may be left out, additional ones follow; no key twice.
Result<GrammarPtr> compile_json_schema(const json::value& schema, const JsonStyle& style = {},
                                       const std::string& where = "json_schema");
// Any JSON object.
Result<GrammarPtr> compile_json_object(const JsonStyle& style = {});
// ECMA-262 expressions as JSON Schema uses them; the whole text must match.
Result<GrammarPtr> compile_regex(std::string_view pattern, const std::string& where = "regex");
// llama.cpp's GBNF; the text is what the rule `root` derives.
Result<GrammarPtr> compile_gbnf(std::string_view source, const std::string& where = "grammar");
// One of these texts (at least one; none of them empty).
Result<GrammarPtr> compile_choices(std::span<const std::string> choices, const std::string& where = "choice");

// How a model writes calls: OPEN CALL SEPARATOR CALL … CLOSE.
struct CallForm {
  std::string open = {};
  std::string before, between, after;  // one call: BEFORE NAME BETWEEN ARGUMENTS AFTER
  std::string separator = {};          // between two calls
  std::string close = {};
  bool many = false;  // one call or more; else exactly one
  // The arguments: an object; in Python name=value, …, without names that the schema does not list.
  JsonStyle style = {};
};
struct CallSchema {
  std::string name;        // as it is to be written
  json::value parameters;  // the schema of the arguments
  std::string where;       // of the schema, in errors
};
// Calls of these functions (at least one).
Result<GrammarPtr> compile_calls(const CallForm& form, std::span<const CallSchema> functions);

// The vocabulary of one tokenizer, arranged for masks. Immutable and safe to share; one per tokenizer is
// enough. Building takes some 0.1 s and 20 MB for 128,000 tokens. Independent of the tokenizer afterwards.
class TokenTable;
using TokenTablePtr = std::shared_ptr<const TokenTable>;
// `spelled`: control tokens that stand in text after all, as they are spelled.
TokenTablePtr make_token_table(const text::Tokenizer& tokenizer,
                               std::span<const std::string_view> spelled = {});

// One answer. Not safe to share: one thread at a time. Has the shape of engine::TokenConstraint.
class Matcher {
 public:
  Matcher(GrammarPtr grammar, TokenTablePtr tokens);
  ~Matcher();
  Matcher(Matcher&&) noexcept;
  Matcher& operator=(Matcher&&) noexcept;

  // Clears the bit of every token that must not come next: token t is bit t % 64 of word t / 64; `mask` comes
  // with all bits set and may be longer than the vocabulary (those bits are cleared) or shorter. End tokens
  // are allowed where the text is complete; other control tokens, unknown and unused ones never.
  // A mask may come out empty: nothing in the vocabulary continues the text (or a limit of the matcher was
  // met), and the answer cannot be finished.
  void mask(std::span<std::uint64_t> mask);
  // `token` was chosen; false where it was not allowed, and then the state stays as it was.
  bool accept(text::TokenId token);
  // The answer has begun with this text; false where it does not fit, and then the state stays as it was.
  bool begin_with(std::string_view text);
  // Nothing but an end may follow.
  bool finished() const;
  // The text so far is a whole one: an end may follow.
  bool complete() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace maestrale::grammar
