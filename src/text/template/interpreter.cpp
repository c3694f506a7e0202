// Statements.
#include <fmt/format.h>

#include <algorithm>

#include "text/template/machine.h"

namespace maestrale::text::jinja {

Error Machine::fail(std::string what, ErrorKind kind) const {
  return Error{
      .kind = kind, .what = std::move(what), .where = fmt::format("{}, line {}", program_.where, line_)};
}

Status Machine::charge(std::size_t work) {
  steps_left_ -= static_cast<std::int64_t>(std::min<std::size_t>(work, 1u << 30));
  if (steps_left_ < 0) {
    return fail(fmt::format("the template takes more than {} steps", limits_.steps), ErrorKind::kResource);
  }
  if (arena_.used() > limits_.memory_bytes) return room(0);
  return {};
}

Status Machine::room(std::size_t bytes) {
  if (bytes <= limits_.memory_bytes && arena_.used() <= limits_.memory_bytes - bytes) return {};
  return fail(fmt::format("the template needs more than {} bytes of memory", limits_.memory_bytes),
              ErrorKind::kResource);
}

std::span<const Value> Machine::copy(std::span<const Value> items) {
  if (items.empty()) return {};
  Value* to = arena_.array<Value>(items.size());
  std::copy(items.begin(), items.end(), to);
  return {to, items.size()};
}

Result<std::string> Machine::render(const json::object& variables) {
  if (arena_.used() == 0) {
    Value* slots = arena_.array<Value>(program_.names.size());
    std::fill_n(slots, program_.names.size(), Value());
    root_ = {slots, program_.names.size()};
  }
  const auto slot = [&](std::string_view name) -> int {
    const auto at = program_.name_index.find(name);
    return at == program_.name_index.end() ? -1 : at->second;
  };
  for (const Builtin& builtin : global_functions()) {
    const int at = slot(builtin.name);
    if (at >= 0) root_[static_cast<std::size_t>(at)] = make_method(builtin, Value::none());
  }
  for (const auto& [key, value] : variables) {
    const int at = slot(std::string_view(key.data(), key.size()));
    if (at >= 0) root_[static_cast<std::size_t>(at)] = TRY(json_value(value, 0));
  }
  name_loop_ = slot("loop");
  name_caller_ = slot("caller");
  name_varargs_ = slot("varargs");
  name_kwargs_ = slot("kwargs");
  std::string out;
  out_ = &out;
  scope_ = arena_.make<Scope>();
  TRY(execute(program_.body));
  return out;
}

Result<Value> Machine::json_value(const json::value& value, int depth) {
  if (depth > kMaxDataDepth) {
    return Error{.what = fmt::format("the variables are nested more than {} deep", kMaxDataDepth),
                 .where = program_.where};
  }
  switch (value.kind()) {
    case json::kind::null:
      return Value::none();
    case json::kind::bool_:
      return Value::of(value.get_bool());
    case json::kind::int64:
      return Value::of(static_cast<std::int64_t>(value.get_int64()));
    case json::kind::uint64:
      if (value.get_uint64() > 0x7fff'ffff'ffff'ffffu) {
        return Error{.what = "an integer in the variables is beyond 64 bits with sign",
                     .where = program_.where};
      }
      return Value::of(static_cast<std::int64_t>(value.get_uint64()));
    case json::kind::double_:
      return Value::of(value.get_double());
    case json::kind::string:
      return Value::of(std::string_view(value.get_string().data(), value.get_string().size()));
    case json::kind::array: {
      const json::array& array = value.get_array();
      Value* items = arena_.array<Value>(array.size());
      for (std::size_t i = 0; i < array.size(); ++i) items[i] = TRY(json_value(array[i], depth + 1));
      return Value::list(std::span<const Value>(items, array.size()));
    }
    case json::kind::object: {
      DictBuilder builder(arena_);
      builder.reserve(value.get_object().size());
      for (const auto& [key, item] : value.get_object()) {
        builder.set(Value::of(std::string_view(key.data(), key.size())), TRY(json_value(item, depth + 1)));
      }
      return Value::of(builder.finish());
    }
  }
  return Value::none();
}

// Nodes inside nodes are counted, so that no input overflows the stack.
struct Machine::Nested {
  explicit Nested(Machine& machine) : machine_(machine) { ++machine_.nesting_; }
  ~Nested() { --machine_.nesting_; }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;
  Machine& machine_;
};

Result<Value> Machine::evaluate(const Node& node) {
  if (node.op == Op::kConst) return node.value;
  line_ = node.line;
  if (node.op == Op::kName) return evaluate_name(node);
  const Nested nested(*this);
  if (nesting_ > kMaxEvaluation) {
    return fail(fmt::format("evaluation nested more than {} deep", kMaxEvaluation), ErrorKind::kResource);
  }
  TRY(charge(1));
  return evaluate_nested(node);
}

Result<Flow> Machine::execute(const Block& block) {
  for (const NodePtr& node : block) {
    if (node->op == Op::kText) {
      *out_ += node->text;
      TRY(check_output());
      continue;
    }
    const Flow flow = TRY(execute(*node));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Flow> Machine::execute(const Node& node) {
  const Nested nested(*this);
  line_ = node.line;
  TRY(charge(1));
  switch (node.op) {
    case Op::kPrint:
      TRY(print(TRY(evaluate(*node.children[0]))));
      return Flow::kNext;
    case Op::kDo:
      TRY(evaluate(*node.children[0]));
      return Flow::kNext;
    case Op::kFor:
      return execute_for(node);
    case Op::kIf:
      return execute_if(node);
    case Op::kSet:
      TRY(execute_set(node));
      return Flow::kNext;
    case Op::kSetBlock:
      TRY(execute_set_block(node));
      return Flow::kNext;
    case Op::kMacro:
      bind(scope_, node.name,
           Value::of(arena_.make<Function>(Function{.name = node.text, .macro = &node, .scope = scope_})));
      return Flow::kNext;
    case Op::kCallBlock:
      TRY(execute_call_block(node));
      return Flow::kNext;
    case Op::kFilterBlock:
      TRY(execute_filter_block(node));
      return Flow::kNext;
    case Op::kWith:
      return execute_with(node);
    case Op::kScope:
      return execute_scoped(node.blocks[0]);
    case Op::kBreak:
      return Flow::kBreak;
    case Op::kContinue:
      return Flow::kContinue;
    default:
      return fail("a statement that cannot stand here");
  }
}

Status Machine::check_output() {
  if (out_->size() <= limits_.output_bytes) return {};
  return fail(fmt::format("the template prints more than {} bytes", limits_.output_bytes),
              ErrorKind::kResource);
}

Status Machine::print(const Value& value) {
  append_str(*out_, value, limits_.output_bytes);
  return check_output();
}

Result<Flow> Machine::execute_scoped(const Block& block) {
  Scope* outer = scope_;
  scope_ = arena_.make<Scope>(outer);
  const Flow flow = TRY(execute(block));
  scope_ = outer;
  return flow;
}

Result<Flow> Machine::execute_if(const Node& node) {
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    if (truthy(TRY(evaluate(*node.children[i])))) return execute(node.blocks[i]);
  }
  if (node.blocks.size() > node.children.size()) return execute(node.blocks.back());
  return Flow::kNext;
}

Result<Flow> Machine::execute_for(const Node& node) {
  const Value iterable = TRY(evaluate(*node.children[1]));
  return run_loop(node, TRY(iterate(iterable)), scope_, 1);
}

Result<std::span<const Value>> Machine::filter_items(const Node& node, std::span<const Value> items) {
  ArenaVector<Value> kept;
  Scope* outer = scope_;
  scope_ = arena_.make<Scope>(outer);
  for (const Value& item : items) {
    scope_->bindings.size = 0;
    TRY(assign(*node.children[0], item));
    if (truthy(TRY(evaluate(*node.children[2])))) kept.push(arena_, item);
  }
  scope_ = outer;
  return std::span<const Value>(kept.data, kept.size);
}

Result<Flow> Machine::run_loop(const Node& node, std::span<const Value> items, Scope* outer, int depth) {
  Scope* caller = scope_;
  scope_ = outer;
  if (node.children[2]) items = TRY(filter_items(node, items));
  Loop* loop = arena_.make<Loop>(Loop{.items = items, .depth = depth});
  loop->recursive = node.recursive ? &node : nullptr;
  loop->scope = outer;
  Value loop_value = Value::of_kind(Kind::kLoop);
  loop_value.loop = loop;
  Scope* inner = arena_.make<Scope>(outer);
  for (; loop->index < items.size(); ++loop->index) {
    TRY(charge(1));
    scope_ = inner;
    inner->bindings.size = 0;
    if (name_loop_ >= 0) bind(inner, name_loop_, loop_value);
    TRY(assign(*node.children[0], items[loop->index]));
    if (TRY(execute(node.blocks[0])) == Flow::kBreak) break;
  }
  scope_ = outer;
  Flow flow = Flow::kNext;
  if (items.empty() && !node.blocks[1].empty()) flow = TRY(execute_scoped(node.blocks[1]));
  scope_ = caller;
  return flow;
}

Status Machine::execute_set(const Node& node) {
  const Value value = TRY(evaluate(*node.children[1]));
  return assign(*node.children[0], value);
}

Result<Value> Machine::capture(const Block& block, Scope* scope) {
  std::string text;
  std::string* out = std::exchange(out_, &text);
  Scope* outer = std::exchange(scope_, scope);
  TRY(execute(block));
  out_ = out;
  scope_ = outer;
  TRY(room(text.size()));
  return string(text);
}

// A chain a|b|c hangs as c(b(a(input))) with the innermost lacking its input.
Result<Value> Machine::apply_filters(const Node& filter, const Value& input) {
  if (filter.children.empty()) return evaluate_filter(filter, &input);
  const Value inner = TRY(apply_filters(*filter.children[0], input));
  return evaluate_filter(filter, &inner);
}

Status Machine::execute_set_block(const Node& node) {
  Value text = TRY(capture(node.blocks[0], arena_.make<Scope>(scope_)));
  if (node.children[1]) text = TRY(apply_filters(*node.children[1], text));
  return assign(*node.children[0], text);
}

Status Machine::execute_filter_block(const Node& node) {
  const Value text = TRY(capture(node.blocks[0], arena_.make<Scope>(scope_)));
  return print(TRY(apply_filters(*node.children[0], text)));
}

Result<Flow> Machine::execute_with(const Node& node) {
  Scope* outer = scope_;
  Scope* inner = arena_.make<Scope>(outer);
  for (std::size_t i = 0; i < node.children.size(); i += 2) {
    const Value value = TRY(evaluate(*node.children[i + 1]));
    bind(inner, node.children[i]->name, value);
  }
  scope_ = inner;
  const Flow flow = TRY(execute(node.blocks[0]));
  scope_ = outer;
  return flow;
}

void Machine::bind(Scope* scope, int name, const Value& value) {
  if (scope->parent == nullptr) {
    root_[static_cast<std::size_t>(name)] = value;
    return;
  }
  for (Binding& binding : scope->bindings) {
    if (binding.name == name) {
      binding.value = value;
      return;
    }
  }
  scope->bindings.push(arena_, {name, value});
}

Value* Machine::lookup_from(Scope* scope, int name) {
  for (; scope->parent != nullptr; scope = scope->parent) {
    for (Binding& binding : scope->bindings) {
      if (binding.name == name) return &binding.value;
    }
  }
  Value* value = &root_[static_cast<std::size_t>(name)];
  return value->absent() ? nullptr : value;
}

Status Machine::assign(const Node& target, const Value& value) {
  if (target.op == Op::kName) {
    bind(scope_, target.name, value);
    return {};
  }
  if (target.op == Op::kAttribute) {
    const Value object = TRY(evaluate(*target.children[0]));
    if (object.kind != Kind::kNamespace) return fail("cannot assign attribute on non-namespace object");
    if (Value* place = object.names->find(target.text)) {
      *place = value;
    } else {
      object.names->entries.push(arena_, {Value::of(std::string_view(target.text)), value});
    }
    return {};
  }
  const std::span<const Value> items = TRY(iterate(value));
  const std::size_t wanted = target.children.size();
  if (items.size() < wanted) {
    return fail(fmt::format("not enough values to unpack (expected {}, got {})", wanted, items.size()));
  }
  if (items.size() > wanted) return fail(fmt::format("too many values to unpack (expected {})", wanted));
  for (std::size_t i = 0; i < wanted; ++i) TRY(assign(*target.children[i], items[i]));
  return {};
}

}  // namespace maestrale::text::jinja
