// The interpreter: one rendering of one template. Filters, tests, methods and globals are functions of one
// shape (Builtin) in tables; they get the machine for memory, limits and errors.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/template/arena.h"
#include "text/template/ast.h"
#include "text/template/template.h"
#include "text/template/value.h"

namespace maestrale::text::jinja {

inline constexpr int kMaxDataDepth = 200;    // of lists and dicts that print, compare or convert
inline constexpr int kMaxEvaluation = 2500;  // nodes inside nodes at run time
inline constexpr std::int64_t kMaxRange = 100'000;

class Machine;

struct NamedValue {
  std::string_view name;
  Value value;
};

// Arguments as a call gives them.
struct Call {
  std::span<const Value> positional = {};
  std::span<const NamedValue> named = {};
};

// Arguments bound to a Builtin's parameters; absent where not given.
struct Bound {
  std::array<Value, 6> values = {};
  std::span<const Value> rest = {};        // positional ones beyond the parameters
  std::span<const NamedValue> named = {};  // named ones beyond the parameters
  const Value& operator[](std::size_t i) const { return values[i]; }
};

struct Builtin {
  std::string_view name;
  std::string_view parameters;  // "old new count?": optional ones marked; "*" and "**" take any more
  Result<Value> (*function)(Machine& machine, const Value& self, const Bound& arguments);
};

const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
const Builtin* find_method(const Value& self, std::string_view name);
std::span<const Builtin> global_functions();
// Filters, methods and globals that exist in Python but not here: refused by name.
bool is_refused_filter(std::string_view name);
bool is_refused_method(const Value& self, std::string_view name);

struct Binding {
  int name;
  Value value;
};

struct Scope {
  Scope* parent = nullptr;
  ArenaVector<Binding> bindings = {};
};

struct Function {
  std::string_view name;
  const Builtin* builtin = nullptr;
  Value self = {};  // of a method
  const Node* macro = nullptr;
  Scope* scope = nullptr;  // where the macro was defined
};

struct Loop {
  std::span<const Value> items;
  std::size_t index = 0;
  int depth = 1;
  const Node* recursive = nullptr;  // the for statement
  Scope* scope = nullptr;           // round the for statement
  Value last_changed = {};
  std::size_t size() const { return items.size(); }
};

enum class Flow : std::uint8_t { kNext, kBreak, kContinue };

class Machine {
 public:
  Machine(const Program& program, const TemplateLimits& limits, std::int64_t unix_seconds)
      : program_(program), limits_(limits), unix_seconds_(unix_seconds), steps_left_(limits.steps) {}
  Result<std::string> render(const json::object& variables);

  // for builtins
  Arena& arena() { return arena_; }
  std::int64_t unix_seconds() const { return unix_seconds_; }
  std::size_t output_limit() const { return limits_.output_bytes; }
  Error fail(std::string what, ErrorKind kind = ErrorKind::kInvalidInput) const;
  Status charge(std::size_t work);  // counts work towards the step limit, checks memory
  Status room(std::size_t bytes);   // may this much more be allocated?
  Value string(std::string_view text) { return Value::of(arena_.copy(text)); }
  Value make_list(const std::vector<Value>& items) { return Value::list(copy(items)); }
  Value make_tuple(std::initializer_list<Value> items) {
    return Value::tuple(copy({items.begin(), items.size()}));
  }
  Value make_generator(const std::vector<Value>& items) {
    return make_view(ViewKind::kGenerator, copy(items));
  }
  Value make_view(ViewKind kind, std::span<const Value> items);
  Value make_method(const Builtin& builtin, const Value& self);
  Value undefined(std::string message) { return Value::undefined(arena_.copy(message)); }
  std::span<const Value> copy(std::span<const Value> items);

  Result<Value> attribute(const Value& object, std::string_view name);  // object.name
  Result<Value> item(const Value& object, const Value& key);            // object[key]
  Result<Value> path(const Value& object, const Value& attribute);      // "a.b.0" as in map(attribute=…)
  Result<Value> call(const Value& callee, const Call& arguments);
  Result<Value> call_builtin(const Builtin& builtin, const Value& self, const Call& arguments);
  Result<Value> filter(std::string_view name, const Value& input, const Call& arguments);
  Result<bool> test(std::string_view name, const Value& subject, const Call& arguments);
  // The values a for loop would see. A generator is used up.
  Result<std::span<const Value>> iterate(const Value& value);
  Result<std::string_view> str(const Value& value);  // Python's str()
  Result<std::size_t> length(const Value& value);
  Result<int> compare(const Value& a, const Value& b, std::string_view operation = "<");  // -1, 0, 1
  Result<bool> equals(const Value& a, const Value& b);
  Result<bool> contains(const Value& container, const Value& value);
  Result<Value> operate(Operator operation, const Value& a, const Value& b);
  Result<Value> json_value(const json::value& value, int depth);

 private:
  struct Nested;

  // statements
  Result<Flow> execute(const Block& block);
  Result<Flow> execute(const Node& node);
  Result<Flow> execute_for(const Node& node);
  Result<Flow> run_loop(const Node& node, std::span<const Value> items, Scope* outer, int depth);
  Result<std::span<const Value>> filter_items(const Node& node, std::span<const Value> items);
  Result<Flow> execute_if(const Node& node);
  Status execute_set(const Node& node);
  Status execute_set_block(const Node& node);
  Status execute_filter_block(const Node& node);
  Status execute_call_block(const Node& node);
  Result<Flow> execute_with(const Node& node);
  Result<Flow> execute_scoped(const Block& block);
  Status print(const Value& value);
  Status check_output();
  // Runs the block in a scope of its own and gives what it printed.
  Result<Value> capture(const Block& block, Scope* scope);
  Result<Value> apply_filters(const Node& filter, const Value& input);
  Status assign(const Node& target, const Value& value);
  void bind(Scope* scope, int name, const Value& value);
  Value* lookup_from(Scope* scope, int name);

  // expressions
  Result<Value> evaluate(const Node& node);
  Result<Value> evaluate_nested(const Node& node);
  Result<Value> evaluate_operation(const Node& node);
  Result<Value> evaluate_name(const Node& node);
  Result<Value> evaluate_attribute(const Node& node);
  Result<Value> evaluate_item(const Node& node);
  Result<Value> evaluate_slice(const Node& node);
  Result<Value> evaluate_call(const Node& node);
  Result<Value> evaluate_filter(const Node& node, const Value* input);
  Result<Value> evaluate_test(const Node& node);
  Result<Value> evaluate_logic(const Node& node);
  Result<Value> evaluate_conditional(const Node& node);
  Result<Value> evaluate_compare(const Node& node);
  Result<Value> evaluate_binary(const Node& node);
  Result<Value> evaluate_concat(const Node& node);
  Result<Value> evaluate_sequence(const Node& node);
  Result<Value> evaluate_dict(const Node& node);
  Result<Value> evaluate_sign(const Node& node);
  struct CallValues;
  Status evaluate_arguments(const ArgumentNodes& nodes, CallValues& out);
  Result<bool> compare_with(Operator operation, const Value& a, const Value& b);

  // calls
  Result<Value> call_macro(const Function& function, const Call& arguments);
  Status bind_parameters(const Node& macro, std::span<const NodePtr> defaults, const Call& arguments,
                         Scope* scope, std::string_view name);
  Result<Value> call_loop(Loop& loop, const Call& arguments);
  Result<Value> loop_attribute(const Value& self, std::string_view name);
  Result<Value> item_at(const Value& sequence, const Value& key);
  Value missing_attribute(const Value& object, std::string_view name);
  Value missing_item(const Value& object, const Value& key);
  Result<Value> slice(const Value& value, const std::array<Value, 3>& bounds);

  // operators
  Result<Value> add(const Value& a, const Value& b);
  Result<Value> multiply(const Value& a, const Value& b);
  Result<Value> repeat(const Value& value, std::int64_t count);
  Result<Value> arithmetic(Operator operation, const Value& a, const Value& b);
  Result<int> compare_sequences(std::span<const Value> a, std::span<const Value> b,
                                std::string_view operation);

  const Program& program_;
  const TemplateLimits& limits_;
  const std::int64_t unix_seconds_;
  std::int64_t steps_left_;
  int line_ = 0;
  int macro_depth_ = 0;
  int nesting_ = 0;
  Arena arena_;
  std::span<Value> root_;  // by name; absent where unset
  Scope* scope_ = nullptr;
  std::string* out_ = nullptr;
  int name_loop_ = -1, name_caller_ = -1, name_varargs_ = -1, name_kwargs_ = -1;
};

// Ends the rendering with the template's own message (template.cpp).
Result<Value> raise_exception(Machine& machine, const Value& self, const Bound& arguments);
// Printf-style and str.format formatting (format.cpp).
Result<Value> format_percent(Machine& machine, std::string_view format, const Value& arguments);
Result<Value> format_braces(Machine& machine, std::string_view format, const Bound& arguments);
// Python's json.dumps (json_text.cpp).
Result<Value> to_json(Machine& machine, const Value& value, const Bound& arguments);
// time.strftime in UTC, English names (clock.cpp).
Result<std::string> format_time(Machine& machine, std::string_view format, std::int64_t unix_seconds);

}  // namespace maestrale::text::jinja
