// Methods of dicts, lists, tuples, loops and cyclers, and which Python methods are refused because they would
// change their object.
#include "text/template/methods.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "text/template/filters.h"

namespace maestrale::text::jinja {
namespace {

Result<Value> dict_get(Machine& machine, const Value& self, const Bound& arguments) {
  if (!hashable(arguments[0]))
    return machine.fail(fmt::format("unhashable type: '{}'", type_name(arguments[0])));
  const Value* value = self.dict->find(arguments[0]);
  if (value != nullptr) return *value;
  return arguments[1].absent() ? Value::none() : arguments[1];
}

template <ViewKind kind>
Result<Value> dict_view(Machine& machine, const Value& self, const Bound&) {
  TRY(machine.charge(self.size));
  std::vector<Value> items;
  items.reserve(self.size);
  for (const Entry& entry : self.dict->all()) {
    items.push_back(kind == ViewKind::kKeys     ? entry.key
                    : kind == ViewKind::kValues ? entry.value
                                                : machine.make_tuple({entry.key, entry.value}));
  }
  return machine.make_view(kind, machine.copy(items));
}

Result<Value> copy_of(Machine&, const Value& self, const Bound&) { return self; }

Result<Value> sequence_count(Machine& machine, const Value& self, const Bound& arguments) {
  std::int64_t count = 0;
  for (const Value& item : self.elements()) count += TRY(machine.equals(item, arguments[0]));
  return Value::of(count);
}

Result<Value> sequence_index(Machine& machine, const Value& self, const Bound& arguments) {
  const auto size = static_cast<std::int64_t>(self.size);
  std::int64_t from = TRY(integer(machine, arguments[1], 0)), to = TRY(integer(machine, arguments[2], size));
  if (from < 0) from = std::max<std::int64_t>(from + size, 0);
  if (to < 0) to = std::max<std::int64_t>(to + size, 0);
  for (std::int64_t i = from; i < std::min(to, size); ++i) {
    if (TRY(machine.equals(self.items[i], arguments[0]))) return Value::of(i);
  }
  std::string shown;
  append_repr(shown, arguments[0], 200);
  return machine.fail(fmt::format("{} is not in list", shown));
}

Result<Value> loop_cycle(Machine& machine, const Value& self, const Bound& arguments) {
  if (arguments.rest.empty()) return machine.fail("no items for cycling given");
  return arguments.rest[self.loop->index % arguments.rest.size()];
}

Result<Value> loop_changed(Machine& machine, const Value& self, const Bound& arguments) {
  const Value now = Value::tuple(machine.copy(arguments.rest));
  Value& last = self.loop->last_changed;
  if (!last.absent() && TRY(machine.equals(last, now))) return Value::of(false);
  last = now;
  return Value::of(true);
}

Result<Value> cycler_next(Machine&, const Value& self, const Bound&) {
  Cycler& cycler = *self.cycler;
  const Value value = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return value;
}

Result<Value> cycler_reset(Machine&, const Value& self, const Bound&) {
  self.cycler->position = 0;
  return Value::none();
}

constexpr Builtin kDictMethods[] = {
    {"get", "key default?", dict_get},
    {"items", "", dict_view<ViewKind::kItems>},
    {"keys", "", dict_view<ViewKind::kKeys>},
    {"values", "", dict_view<ViewKind::kValues>},
    {"copy", "", copy_of},
};
constexpr Builtin kListMethods[] = {
    {"count", "value", sequence_count},
    {"index", "value start? stop?", sequence_index},
    {"copy", "", copy_of},
};
constexpr Builtin kTupleMethods[] = {
    {"count", "value", sequence_count},
    {"index", "value start? stop?", sequence_index},
};
constexpr Builtin kLoopMethods[] = {{"cycle", "*", loop_cycle}, {"changed", "*", loop_changed}};
constexpr Builtin kCyclerMethods[] = {{"next", "", cycler_next}, {"reset", "", cycler_reset}};

std::span<const Builtin> methods_of(const Value& self) {
  switch (self.kind) {
    case Kind::kString:
      return string_methods();
    case Kind::kDict:
      return kDictMethods;
    case Kind::kList:
      return kListMethods;
    case Kind::kTuple:
      return kTupleMethods;
    case Kind::kLoop:
      return kLoopMethods;
    case Kind::kCycler:
      return kCyclerMethods;
    default:
      return {};
  }
}

constexpr std::array<std::string_view, 8> kListRefused = {"append", "extend", "insert", "pop",
                                                          "remove", "clear",  "sort",   "reverse"};
constexpr std::array<std::string_view, 6> kDictRefused = {"clear",      "pop",    "popitem",
                                                          "setdefault", "update", "fromkeys"};
constexpr std::array<std::string_view, 3> kStringRefused = {"encode", "format_map", "translate"};

}  // namespace

const Builtin* find_method(const Value& self, std::string_view name) {
  for (const Builtin& method : methods_of(self)) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

bool is_refused_method(const Value& self, std::string_view name) {
  const auto among = [&](const auto& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  switch (self.kind) {
    case Kind::kList:
      return among(kListRefused);
    case Kind::kDict:
      return among(kDictRefused);
    case Kind::kString:
      return among(kStringRefused);
    default:
      return false;
  }
}

}  // namespace maestrale::text::jinja
