#include "base/utf8.h"
#include "grammar/compiled.h"
#include "grammar/gbnf.h"
#include "grammar/regex.h"
#include "grammar/spell.h"

namespace maestrale::grammar {
namespace {

Result<GrammarPtr> finish(NetworkBuilder builder, RuleId root, const std::string& where) {
  Network network = TRY(Network::finish(std::move(builder), root, where));
  return GrammarPtr(std::make_shared<const Grammar>(std::move(network), false));
}

}  // namespace

Result<GrammarPtr> compile_regex(std::string_view pattern, const std::string& where) {
  const CharNfa nfa = TRY(parse_regex(pattern, RegexUse::kWhole, where));
  NetworkBuilder builder;
  const RuleId root = builder.rule("root");
  Speller(builder).text(nfa, builder.start(root), builder.end(root));
  return finish(std::move(builder), root, where);
}

Result<GrammarPtr> compile_gbnf(std::string_view source, const std::string& where) {
  NetworkBuilder builder;
  const RuleId root = TRY(GbnfParser(source, where).parse(builder));
  return finish(std::move(builder), root, where);
}

Result<GrammarPtr> compile_choices(std::span<const std::string> choices, const std::string& where) {
  if (choices.empty()) return Error{.what = "a list of choices must have at least one", .where = where};
  NetworkBuilder builder;
  const RuleId root = builder.rule("root");
  for (const std::string& choice : choices) {
    if (choice.empty()) return Error{.what = "a choice must not be empty", .where = where};
    if (find_invalid_utf8(choice) != std::string::npos) {
      return Error{.what = "a choice is not UTF-8", .where = where, .found = choice};
    }
    builder.text(builder.start(root), choice, builder.end(root));
  }
  return finish(std::move(builder), root, where);
}

}  // namespace maestrale::grammar
