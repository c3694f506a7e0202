// range, dict, namespace, cycler, joiner, raise_exception, strftime_now; cycler and loop methods are in
// methods.cpp.
#include <fmt/format.h>

#include "text/template/machine.h"

namespace maestrale::text::jinja {

namespace {

Result<Value> make_range(Machine& machine, const Value&, const Bound& arguments) {
  for (std::size_t i = 0; i < 3; ++i) {
    if (arguments[i].absent() || arguments[i].is_integral()) continue;
    if (arguments[i].is_undefined()) return machine.fail(std::string(arguments[i].str()));
    return machine.fail(
        fmt::format("'{}' object cannot be interpreted as an integer", type_name(arguments[i])));
  }
  const bool one = arguments[1].absent();
  const std::int64_t start = one ? 0 : arguments[0].as_int();
  const std::int64_t stop = one ? arguments[0].as_int() : arguments[1].as_int();
  const std::int64_t step = arguments[2].absent() ? 1 : arguments[2].as_int();
  if (step == 0) return machine.fail("range() arg 3 must not be zero");
  std::int64_t count = 0;
  if (step > 0 ? start < stop : start > stop) {
    const auto distance = static_cast<double>(stop) - static_cast<double>(start);
    if (distance / static_cast<double>(step) > static_cast<double>(kMaxRange) + 1) {
      count = kMaxRange + 1;
    } else {
      count = step > 0 ? (stop - start - 1) / step + 1 : (start - stop - 1) / -step + 1;
    }
  }
  if (count > kMaxRange) {
    return machine.fail(fmt::format("Range too big. The sandbox blocks ranges larger than {}.", kMaxRange),
                        ErrorKind::kResource);
  }
  const auto size = static_cast<std::size_t>(count);
  TRY(machine.charge(size));
  Value* items = machine.arena().array<Value>(size);
  for (std::size_t i = 0; i < size; ++i) items[i] = Value::of(start + static_cast<std::int64_t>(i) * step);
  const Value value = machine.make_view(ViewKind::kRange, {items, size});
  value.view->start = start;
  value.view->stop = stop;
  value.view->step = step;
  return value;
}

// dict(mapping or pairs, name=value, …)
Result<const Dict*> build_dict(Machine& machine, const Bound& arguments) {
  DictBuilder builder(machine.arena());
  const Value& source = arguments[0];
  if (source.is_dict()) {
    TRY(machine.charge(source.size));
    for (const Entry& entry : source.dict->all()) builder.set(entry.key, entry.value);
  } else if (!source.absent()) {
    for (const Value& pair : TRY(machine.iterate(source))) {
      const auto parts = TRY(machine.iterate(pair));
      TRY(machine.charge(1));
      if (parts.size() != 2) return machine.fail("dictionary update sequence elements must have two parts");
      if (!hashable(parts[0])) return machine.fail(fmt::format("unhashable type: '{}'", type_name(parts[0])));
      builder.set(parts[0], parts[1]);
    }
  }
  for (const NamedValue& named : arguments.named) builder.set(Value::of(named.name), named.value);
  return builder.finish();
}

Result<Value> make_dict(Machine& machine, const Value&, const Bound& arguments) {
  return Value::of(TRY(build_dict(machine, arguments)));
}

Result<Value> make_namespace(Machine& machine, const Value&, const Bound& arguments) {
  const Dict* dict = TRY(build_dict(machine, arguments));
  Namespace* names = machine.arena().make<Namespace>();
  for (const Entry& entry : dict->all()) names->entries.push(machine.arena(), entry);
  Value value = Value::of_kind(Kind::kNamespace);
  value.names = names;
  return value;
}

Result<Value> make_cycler(Machine& machine, const Value&, const Bound& arguments) {
  if (arguments.rest.empty()) return machine.fail("at least one item has to be provided");
  Value value = Value::of_kind(Kind::kCycler);
  value.cycler = machine.arena().make<Cycler>(machine.copy(arguments.rest));
  return value;
}

Result<Value> make_joiner(Machine& machine, const Value&, const Bound& arguments) {
  Value value = Value::of_kind(Kind::kJoiner);
  const std::string_view separator = arguments[0].absent() ? ", " : TRY(machine.str(arguments[0]));
  value.joiner = machine.arena().make<Joiner>(separator);
  return value;
}

Result<Value> strftime_now(Machine& machine, const Value&, const Bound& arguments) {
  if (!arguments[0].is_string()) return machine.fail("strftime_now() takes a format string");
  return machine.string(TRY(format_time(machine, arguments[0].str(), machine.unix_seconds())));
}

Result<Value> refuse_lipsum(Machine& machine, const Value&, const Bound&) {
  return machine.fail("the function 'lipsum' is not supported in chat templates", ErrorKind::kUnsupported);
}

constexpr Builtin kGlobals[] = {
    {"range", "start stop? step?", make_range},
    {"dict", "mapping? **", make_dict},
    {"namespace", "mapping? **", make_namespace},
    {"cycler", "*", make_cycler},
    {"joiner", "sep?", make_joiner},
    {"lipsum", "* **", refuse_lipsum},
    {"raise_exception", "message", raise_exception},
    {"strftime_now", "format", strftime_now},
};

}  // namespace

std::span<const Builtin> global_functions() { return kGlobals; }

}  // namespace maestrale::text::jinja
