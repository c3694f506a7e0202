// Calling macros, builtins and recursive loops; binding arguments to parameters.
#include <fmt/format.h>

#include <algorithm>

#include "text/template/machine.h"
#include "text/template/strings.h"

namespace maestrale::text::jinja {
namespace {

const NamedValue* find_named(const Call& call, std::string_view name) {
  for (const NamedValue& named : call.named) {
    if (named.name == name) return &named;
  }
  return nullptr;
}

// The next word of a parameter list, cut off its front.
std::string_view next_word(std::string_view& list) {
  const std::size_t end = std::min(list.find(' '), list.size());
  const std::string_view word = list.substr(0, end);
  list.remove_prefix(std::min(end + 1, list.size()));
  return word;
}

}  // namespace

Result<Value> Machine::call_builtin(const Builtin& builtin, const Value& self, const Call& call) {
  Bound bound;
  std::vector<NamedValue> more;
  std::size_t taken = 0, named_taken = 0, count = 0;
  bool any_positional = false, any_named = false;
  for (std::string_view list = builtin.parameters; !list.empty();) {
    std::string_view word = next_word(list);
    if (word == "*" || word == "**") {
      (word == "*" ? any_positional : any_named) = true;
      continue;
    }
    const bool optional = word.back() == '?';
    if (optional) word.remove_suffix(1);
    const NamedValue* named = find_named(call, word);
    if (taken < call.positional.size()) {
      if (named != nullptr)
        return fail(fmt::format("{}() got multiple values for argument '{}'", builtin.name, word));
      bound.values[count] = call.positional[taken++];
    } else if (named != nullptr) {
      bound.values[count] = named->value;
      ++named_taken;
    } else if (!optional) {
      return fail(fmt::format("{}() missing 1 required positional argument: '{}'", builtin.name, word));
    }
    ++count;
  }
  bound.rest = call.positional.subspan(taken);
  if (!any_positional && !bound.rest.empty()) {
    return fail(fmt::format("{}() takes at most {} arguments ({} given)", builtin.name, count,
                            call.positional.size()));
  }
  if (named_taken < call.named.size()) {
    for (const NamedValue& named : call.named) {
      bool known = false;
      for (std::string_view list = builtin.parameters; !list.empty();) {
        std::string_view word = next_word(list);
        if (!word.empty() && word.back() == '?') word.remove_suffix(1);
        known |= word == named.name;
      }
      if (known) continue;
      if (!any_named) {
        return fail(fmt::format("{}() got an unexpected keyword argument '{}'", builtin.name, named.name));
      }
      more.push_back(named);
    }
  }
  bound.named = more;
  return builtin.function(*this, self, bound);
}

Result<Value> Machine::call(const Value& callee, const Call& arguments) {
  if (callee.is_undefined()) return fail(std::string(callee.str()));
  if (callee.kind == Kind::kFunction) {
    const Function& function = *callee.function;
    if (function.builtin != nullptr) return call_builtin(*function.builtin, function.self, arguments);
    return call_macro(function, arguments);
  }
  if (callee.kind == Kind::kLoop) return call_loop(*callee.loop, arguments);
  if (callee.kind == Kind::kJoiner) {
    if (!callee.joiner->used) {
      callee.joiner->used = true;
      return Value::of(std::string_view());
    }
    return Value::of(callee.joiner->separator);
  }
  return fail(fmt::format("'{}' object is not callable", type_name(callee)));
}

Result<Value> Machine::call_loop(Loop& loop, const Call& arguments) {
  if (loop.recursive == nullptr) {
    return fail("The loop must have the 'recursive' marker to be called recursively.");
  }
  if (arguments.positional.size() != 1) return fail("loop() takes the items to loop over");
  const std::span<const Value> items = TRY(iterate(arguments.positional[0]));
  if (++macro_depth_ > limits_.depth) {
    return fail(fmt::format("loops nested more than {} deep", limits_.depth), ErrorKind::kResource);
  }
  std::string text;
  std::string* out = std::exchange(out_, &text);
  TRY(run_loop(*loop.recursive, items, loop.scope, loop.depth + 1));
  out_ = out;
  --macro_depth_;
  TRY(room(text.size()));
  return string(text);
}

Status Machine::bind_parameters(const Node& macro, std::span<const NodePtr> defaults, const Call& arguments,
                                Scope* scope, std::string_view name) {
  const std::size_t count = macro.parameters.size();
  const std::size_t positional = std::min(count, arguments.positional.size());
  const std::size_t first_default = count - defaults.size();
  std::vector<NamedValue> more(arguments.named.begin(), arguments.named.end());
  bool takes_caller = macro.uses_caller;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string& parameter = program_.names[static_cast<std::size_t>(macro.parameters[i])];
    if (parameter == "caller") takes_caller = false;
    Value value;
    if (i < positional) {
      value = arguments.positional[i];
    } else if (const NamedValue* named = find_named(arguments, parameter)) {
      value = named->value;
      std::erase_if(more, [&](const NamedValue& other) { return other.name == parameter; });
    } else if (i >= first_default) {
      value = TRY(evaluate(*defaults[i - first_default]));
    } else {
      value = undefined(fmt::format("parameter '{}' was not provided", parameter));
    }
    bind(scope, macro.parameters[i], value);
  }
  if (takes_caller) {
    const NamedValue* caller = find_named(arguments, "caller");
    bind(scope, name_caller_, caller != nullptr ? caller->value : undefined("No caller defined"));
    std::erase_if(more, [](const NamedValue& other) { return other.name == "caller"; });
  }
  if (macro.uses_kwargs) {
    DictBuilder builder(arena_);
    for (const NamedValue& named : more) builder.set(Value::of(named.name), named.value);
    bind(scope, name_kwargs_, Value::of(builder.finish()));
  } else if (!more.empty()) {
    return fail(fmt::format("macro '{}' takes no keyword argument '{}'", name, more[0].name));
  }
  if (macro.uses_varargs) {
    bind(scope, name_varargs_, Value::tuple(copy(arguments.positional.subspan(positional))));
  } else if (arguments.positional.size() > count) {
    return fail(fmt::format("macro '{}' takes not more than {} argument(s)", name, count));
  }
  return {};
}

Result<Value> Machine::call_macro(const Function& function, const Call& arguments) {
  const Node& macro = *function.macro;
  if (++macro_depth_ > limits_.depth) {
    return fail(fmt::format("macros nested more than {} deep", limits_.depth), ErrorKind::kResource);
  }
  const int line = line_;
  Scope* caller = scope_;
  Scope* scope = arena_.make<Scope>(function.scope);
  std::span<const NodePtr> defaults = macro.children;
  if (macro.op == Op::kCallBlock) defaults = defaults.subspan(1);
  scope_ = scope;  // defaults may name earlier parameters
  TRY(bind_parameters(macro, defaults, arguments, scope, function.name));
  const Value text = TRY(capture(macro.blocks[0], scope));
  scope_ = caller;
  line_ = line;
  --macro_depth_;
  return text;
}

Status Machine::execute_call_block(const Node& node) {
  const Node& call_node = *node.children[0];
  const Value caller =
      Value::of(arena_.make<Function>(Function{.name = "caller", .macro = &node, .scope = scope_}));
  const Value callee = TRY(evaluate(*call_node.children[0]));
  std::vector<Value> positional;
  std::vector<NamedValue> named;
  for (const NodePtr& argument : call_node.arguments.positional)
    positional.push_back(TRY(evaluate(*argument)));
  for (const auto& [name, argument] : call_node.arguments.named)
    named.push_back({name, TRY(evaluate(*argument))});
  named.push_back({"caller", caller});
  return print(TRY(call(callee, Call{positional, named})));
}

Result<Value> Machine::filter(std::string_view name, const Value& input, const Call& arguments) {
  if (const Builtin* builtin = find_filter(name)) return call_builtin(*builtin, input, arguments);
  if (is_refused_filter(name)) {
    return fail(fmt::format("the filter '{}' is not supported in chat templates", name),
                ErrorKind::kUnsupported);
  }
  return fail(fmt::format("No filter named '{}' found.", name));
}

Result<bool> Machine::test(std::string_view name, const Value& subject, const Call& arguments) {
  const Builtin* builtin = find_test(name);
  if (builtin == nullptr) return fail(fmt::format("No test named '{}' found.", name));
  return truthy(TRY(call_builtin(*builtin, subject, arguments)));
}

}  // namespace maestrale::text::jinja
