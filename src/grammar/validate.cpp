#include "grammar/validate.h"

#include "grammar/formats.h"
#include "grammar/schema_index.h"
#include "grammar/validate_run.h"

namespace maestrale::grammar {

struct Validator::State {
  json::value schema;
  PreparedSchema prepared;
};

Status PreparedSchema::add_pattern(const std::string& expression, const std::string& where) {
  if (patterns.contains(expression)) return {};
  patterns.emplace(expression, TRY(Pattern::make(expression, where)));
  return {};
}

// The patterns of one schema, and whether its references lead anywhere.
Status PreparedSchema::prepare(const json::value& schema) {
  if (!schema.is_object()) return {};
  const json::object& object = schema.get_object();
  for (const std::string_view keyword : {"$ref", "$dynamicRef"}) {
    const json::value* reference = object.if_contains(keyword);
    if (reference == nullptr || !reference->is_string()) continue;
    const json::value* target = index.resolve(schema, reference->get_string());
    if (target == nullptr) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "a reference that leads out of the document, or nowhere",
                   .where = index.location(schema, keyword),
                   .found = std::string(reference->get_string())};
    }
  }
  if (const json::value* pattern = object.if_contains("pattern");
      pattern != nullptr && pattern->is_string()) {
    TRY(add_pattern(std::string(pattern->get_string()), index.location(schema, "pattern")));
  }
  if (const json::value* map = object.if_contains("patternProperties"); map != nullptr && map->is_object()) {
    for (const auto& entry : map->get_object()) {
      TRY(add_pattern(std::string(entry.key()), index.location(schema, "patternProperties")));
    }
  }
  const json::value* format = object.if_contains("format");
  std::string expression;
  if (options.formats && format != nullptr && format->is_string() &&
      find_format(format->get_string(), expression) == FormatSupport::kKnown) {
    TRY(add_pattern("^(?:" + expression + ")$", index.location(schema, "format")));
  }
  return {};
}

Result<PreparedSchema> PreparedSchema::make(const json::value& root, const std::string& where,
                                            const ValidateOptions& options) {
  PreparedSchema prepared;
  prepared.options = options;
  prepared.index = TRY(SchemaIndex::make(root, where));
  for (const json::value* part : prepared.index.schemas()) TRY(prepared.prepare(*part));
  return prepared;
}

Result<Validator> Validator::make(const json::value& schema, const std::string& where,
                                  const ValidateOptions& options) {
  auto state = std::make_unique<State>();
  state->schema = schema;
  state->prepared = TRY(PreparedSchema::make(state->schema, where, options));
  return Validator(std::move(state));
}

Validator::Validator(std::unique_ptr<State> state) : state_(std::move(state)) {}
Validator::Validator(Validator&&) noexcept = default;
Validator& Validator::operator=(Validator&&) noexcept = default;
Validator::~Validator() = default;

Status Validator::validate(const json::value& value, const std::string& where) const {
  return ValidateRun(state_->prepared).run(value, where);
}

}  // namespace maestrale::grammar
