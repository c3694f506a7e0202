// Calls as texts of a grammar: each function's name leads to the rule of its own arguments.
#include "grammar/compiled.h"
#include "grammar/schema_compiler.h"

namespace maestrale::grammar {
Result<GrammarPtr> compile_calls(const CallForm& form, std::span<const CallSchema> functions) {
  NetworkBuilder builder;
  const RuleId call = builder.rule("call");
  const StateId named = builder.state();
  builder.text(builder.start(call), form.before, named);
  for (const CallSchema& function : functions) {
    const PreparedSchema schema =
        TRY(PreparedSchema::make(function.parameters, function.where, {.formats = true}));
    const RuleId arguments = TRY(SchemaCompiler(schema, builder, form.style).compile_arguments());
    const StateId begun = builder.state(), over = builder.state();
    builder.text(named, function.name + form.between, begun);
    builder.call(begun, arguments, over);
    builder.text(over, form.after, builder.end(call));
  }
  const RuleId root = builder.rule("calls");
  const StateId first = builder.state(), after = builder.state();
  builder.text(builder.start(root), form.open, first);
  builder.call(first, call, after);
  builder.text(after, form.close, builder.end(root));
  if (form.many) {
    const StateId next = builder.state();
    builder.text(after, form.separator, next);
    builder.call(next, call, after);
  }
  Network network = TRY(Network::finish(std::move(builder), root, "tools"));
  return GrammarPtr(
      std::make_shared<const Grammar>(std::move(network), form.style.syntax != ValueSyntax::kMarked));
}

}  // namespace maestrale::grammar
