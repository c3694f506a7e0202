// Filters on sequences.
#include <fmt/format.h>

#include <algorithm>

#include "text/template/filters.h"
#include "text/template/strings.h"

namespace maestrale::text::jinja {
namespace {

// Sorts indices by their keys, stably. A comparison that fails ends the sort with its error.
Result<std::vector<std::size_t>> sorted_order(Machine& machine, const std::vector<Value>& keys,
                                              bool reverse) {
  std::vector<std::size_t> order(keys.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  for (std::size_t width = 1; width < order.size();
       width *= 2) {  // merge sort: bounded whatever compare says
    std::vector<std::size_t> merged;
    merged.reserve(order.size());
    for (std::size_t start = 0; start < order.size(); start += 2 * width) {
      std::size_t left = start;
      const std::size_t middle = std::min(start + width, order.size());
      std::size_t right = middle;
      const std::size_t end = std::min(start + 2 * width, order.size());
      while (left < middle && right < end) {
        const int sign = TRY(machine.compare(keys[order[right]], keys[order[left]]));
        const bool take_right = reverse ? sign > 0 : sign < 0;
        merged.push_back(take_right ? order[right++] : order[left++]);
      }
      merged.insert(merged.end(), order.begin() + static_cast<std::ptrdiff_t>(left),
                    order.begin() + static_cast<std::ptrdiff_t>(middle));
      merged.insert(merged.end(), order.begin() + static_cast<std::ptrdiff_t>(right),
                    order.begin() + static_cast<std::ptrdiff_t>(end));
    }
    order = std::move(merged);
  }
  return order;
}

// Does the item pass select/reject(attr)? `rest`: [attribute,] [test, arguments …].
Result<bool> passes(Machine& machine, const Value& item, std::span<const Value> rest, const Bound& arguments,
                    bool by_attribute) {
  Value subject = item;
  if (by_attribute) {
    subject = TRY(machine.path(item, rest[0]));
    rest = rest.subspan(1);
  }
  if (rest.empty()) return truthy(subject);
  const std::string_view name = TRY(machine.str(rest[0]));
  return machine.test(name, subject, {rest.subspan(1), arguments.named});
}

Result<Value> choose(Machine& machine, const Value& self, const Bound& arguments, bool wanted,
                     bool by_attribute) {
  if (by_attribute && arguments.rest.empty()) return machine.fail("Missing parameter for attribute name");
  std::vector<Value> kept;
  if (!truthy(self)) return machine.make_generator(kept);  // none too
  for (const Value& item : TRY(machine.iterate(self))) {
    TRY(machine.charge(1));
    if (TRY(passes(machine, item, arguments.rest, arguments, by_attribute)) == wanted) kept.push_back(item);
  }
  TRY(machine.room(kept.size() * sizeof(Value)));
  return machine.make_generator(kept);
}

}  // namespace

Result<Value> filter_list(Machine& machine, const Value& self, const Bound&) {
  const auto items = TRY(machine.iterate(self));
  TRY(machine.charge(1));
  return Value::list(items);
}

Result<Value> filter_join(Machine& machine, const Value& self, const Bound& arguments) {
  const std::string_view separator = arguments[0].absent() ? "" : TRY(machine.str(arguments[0]));
  const bool by_attribute = !arguments[1].absent() && !arguments[1].is_none();
  std::string out;
  bool first = true;
  for (const Value& item : TRY(machine.iterate(self))) {
    TRY(machine.charge(1));
    const Value part = by_attribute ? TRY(machine.path(item, arguments[1])) : item;
    if (!first) out += separator;
    first = false;
    out += TRY(machine.str(part));
    TRY(machine.room(2 * out.size()));
  }
  TRY(machine.charge(out.size() / 64));
  return machine.string(out);
}

Result<Value> filter_first(Machine& machine, const Value& self, const Bound&) {
  if (self.is_string()) {
    return self.size == 0 ? machine.undefined("No first item, sequence was empty.")
                          : Value::of(self.str().substr(0, byte_offset(self.str(), 1)));
  }
  const auto items = TRY(machine.iterate(self));
  return items.empty() ? machine.undefined("No first item, sequence was empty.") : items.front();
}

Result<Value> filter_last(Machine& machine, const Value& self, const Bound&) {
  if (self.kind == Kind::kView && self.view->kind == ViewKind::kGenerator) {
    return machine.fail("'generator' object is not reversible");
  }
  const auto items = TRY(machine.iterate(self));
  return items.empty() ? machine.undefined("No last item, sequence was empty.") : items.back();
}

Result<Value> filter_reverse(Machine& machine, const Value& self, const Bound&) {
  const auto items = TRY(machine.iterate(self));
  TRY(machine.charge(items.size()));
  std::vector<Value> reversed(items.rbegin(), items.rend());
  if (!self.is_string()) return machine.make_view(ViewKind::kReversed, machine.copy(reversed));
  std::string out;
  for (const Value& item : reversed) out += item.str();
  return machine.string(out);
}

Result<Value> filter_sort(Machine& machine, const Value& self, const Bound& arguments) {
  const auto items = TRY(machine.iterate(self));
  std::vector<Value> keys;
  for (const Value& item : items) {
    TRY(machine.charge(1));
    if (!arguments[2].is_string() || arguments[2].str().find(',') == std::string_view::npos) {
      keys.push_back(TRY(sort_key(machine, item, arguments[2], flag(arguments[1]))));
      continue;
    }
    std::vector<Value> parts;  // attribute="a,b"
    for (const std::string_view part : split_on(arguments[2].str(), ",", -1)) {
      parts.push_back(TRY(sort_key(machine, item, Value::of(part), flag(arguments[1]))));
    }
    keys.push_back(machine.make_list(parts));
  }
  std::vector<Value> sorted;
  for (const std::size_t i : TRY(sorted_order(machine, keys, flag(arguments[0])))) sorted.push_back(items[i]);
  return machine.make_list(sorted);
}

Result<Value> filter_dictsort(Machine& machine, const Value& self, const Bound& arguments) {
  if (!self.is_dict()) {
    return machine.fail(self.is_undefined()
                            ? std::string(self.str())
                            : fmt::format("'{} object' has no attribute 'items'", type_name(self)));
  }
  const std::string_view by = arguments[1].absent() ? "key" : TRY(machine.str(arguments[1]));
  if (by != "key" && by != "value") return machine.fail("You can only sort by either \"key\" or \"value\"");
  std::vector<Value> keys;
  for (const Entry& entry : self.dict->all()) {
    keys.push_back(TRY(sort_key(machine, by == "key" ? entry.key : entry.value, {}, flag(arguments[0]))));
  }
  std::vector<Value> sorted;
  for (const std::size_t i : TRY(sorted_order(machine, keys, flag(arguments[2])))) {
    const Entry& entry = self.dict->entries[i];
    sorted.push_back(machine.make_tuple({entry.key, entry.value}));
  }
  return machine.make_list(sorted);
}

Result<Value> filter_unique(Machine& machine, const Value& self, const Bound& arguments) {
  DictBuilder seen(machine.arena());
  std::vector<Value> kept;
  std::size_t count = 0;
  for (const Value& item : TRY(machine.iterate(self))) {
    TRY(machine.charge(1));
    const Value key = TRY(sort_key(machine, item, arguments[1], flag(arguments[0])));
    if (!hashable(key)) return machine.fail(fmt::format("unhashable type: '{}'", type_name(key)));
    seen.set(key, item);
    if (seen.size() > count) kept.push_back(item);
    count = seen.size();
  }
  return machine.make_generator(kept);
}

Result<Value> filter_groupby(Machine& machine, const Value& self, const Bound& arguments) {
  const auto items = TRY(machine.iterate(self));
  std::vector<Value> keys, shown;
  for (const Value& item : items) {
    TRY(machine.charge(1));
    Value key = TRY(machine.path(item, arguments[0]));
    if (key.is_undefined() && !arguments[1].absent()) key = arguments[1];
    shown.push_back(key);
    keys.push_back(TRY(sort_key(machine, key, {}, flag(arguments[2]))));
  }
  const auto order = TRY(sorted_order(machine, keys, false));
  std::vector<Value> groups, members;
  for (std::size_t i = 0; i < order.size(); ++i) {
    members.push_back(items[order[i]]);
    if (i + 1 < order.size() && TRY(machine.equals(keys[order[i]], keys[order[i + 1]]))) continue;
    const Value& key = shown[order[i + 1 - members.size()]];
    groups.push_back(machine.make_tuple({key, machine.make_list(members)}));
    members.clear();
  }
  return machine.make_list(groups);
}

Result<Value> filter_batch(Machine& machine, const Value& self, const Bound& arguments) {
  const std::int64_t size = TRY(integer(machine, arguments[0], 1));
  if (size > kMaxRange) return machine.fail("batch: lines beyond the limit", ErrorKind::kResource);
  const auto count = static_cast<std::size_t>(std::max<std::int64_t>(size, 1));
  const auto items = TRY(machine.iterate(self));
  TRY(machine.charge(items.size()));
  std::vector<Value> lines;
  for (std::size_t start = 0; start < items.size(); start += count) {
    const auto part = items.subspan(start, std::min(count, items.size() - start));
    std::vector<Value> line(part.begin(), part.end());
    const bool fill = !arguments[1].absent() && !arguments[1].is_none();
    if (fill) line.resize(count, arguments[1]);
    lines.push_back(machine.make_list(line));
  }
  return machine.make_generator(lines);
}

Result<Value> filter_slice(Machine& machine, const Value& self, const Bound& arguments) {
  const std::int64_t wanted = TRY(integer(machine, arguments[0], 1));
  if (wanted <= 0) return machine.fail("integer division or modulo by zero");
  if (wanted > kMaxRange) return machine.fail("slice: more slices than the limit", ErrorKind::kResource);
  const auto slices = static_cast<std::size_t>(wanted);
  const auto items = TRY(machine.iterate(self));
  TRY(machine.charge(items.size() + slices));
  const std::size_t each = items.size() / slices, extra = items.size() % slices;
  std::vector<Value> out;
  std::size_t start = 0;
  for (std::size_t i = 0; i < slices; ++i) {
    const std::size_t count = each + (i < extra ? 1 : 0);
    const auto part = items.subspan(start, count);
    std::vector<Value> slice(part.begin(), part.end());
    if (!arguments[1].absent() && !arguments[1].is_none() && i >= extra) slice.push_back(arguments[1]);
    out.push_back(machine.make_list(slice));
    start += count;
  }
  return machine.make_generator(out);
}

namespace {
// map(attribute="name", default=…)
Result<Value> map_attribute(Machine& machine, const Value& self, const Bound& arguments) {
  Value attribute, fallback;
  for (const NamedValue& named : arguments.named) {
    if (named.name == "attribute") {
      attribute = named.value;
    } else if (named.name == "default") {
      fallback = named.value;
    } else {
      return machine.fail(fmt::format("Unexpected keyword argument '{}'", named.name));
    }
  }
  if (attribute.absent()) return machine.fail("map requires a filter argument");
  std::vector<Value> out;
  if (!truthy(self)) return machine.make_generator(out);
  for (const Value& item : TRY(machine.iterate(self))) {
    TRY(machine.charge(1));
    const Value value = TRY(machine.path(item, attribute));
    out.push_back(value.is_undefined() && !fallback.absent() ? fallback : value);
  }
  return machine.make_generator(out);
}
}  // namespace

Result<Value> filter_map(Machine& machine, const Value& self, const Bound& arguments) {
  if (arguments.rest.empty()) return map_attribute(machine, self, arguments);
  const std::string_view name = TRY(machine.str(arguments.rest[0]));
  std::vector<Value> out;
  if (!truthy(self)) return machine.make_generator(out);  // none too
  for (const Value& item : TRY(machine.iterate(self))) {
    TRY(machine.charge(1));
    out.push_back(TRY(machine.filter(name, item, {arguments.rest.subspan(1), arguments.named})));
  }
  return machine.make_generator(out);
}

Result<Value> filter_select(Machine& machine, const Value& self, const Bound& arguments) {
  return choose(machine, self, arguments, true, false);
}
Result<Value> filter_reject(Machine& machine, const Value& self, const Bound& arguments) {
  return choose(machine, self, arguments, false, false);
}
Result<Value> filter_selectattr(Machine& machine, const Value& self, const Bound& arguments) {
  return choose(machine, self, arguments, true, true);
}
Result<Value> filter_rejectattr(Machine& machine, const Value& self, const Bound& arguments) {
  return choose(machine, self, arguments, false, true);
}

}  // namespace maestrale::text::jinja
