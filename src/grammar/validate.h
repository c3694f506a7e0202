// A JSON value against a JSON Schema (draft 2020-12, all of its vocabulary but references out of the
// document). Independent of the automata: it looks at values, not at texts.
#pragma once

#include <memory>
#include <string>

#include "base/json.h"
#include "base/result.h"

namespace maestrale::grammar {

class SchemaIndex;

struct ValidateOptions {
  bool formats = false;  // `format` is an assertion, for the formats that docs/structured-output.md lists
};

// Holds its own copy of the schema. Safe to share between threads.
class Validator {
 public:
  // Errors: kInvalidInput (not a schema), kUnsupported (a reference out of the document), kResource.
  static Result<Validator> make(const json::value& schema, const std::string& where = "json_schema",
                                const ValidateOptions& options = {});
  Validator(Validator&&) noexcept;
  Validator& operator=(Validator&&) noexcept;
  ~Validator();

  // Ok where the value is valid; else kInvalidInput: where in the value (a JSON pointer after `where`), and
  // which keyword it breaks. kResource: the work has a limit.
  Status validate(const json::value& value, const std::string& where = "value") const;

 private:
  struct State;
  explicit Validator(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace maestrale::grammar
