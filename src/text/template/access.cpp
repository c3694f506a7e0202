// Attributes, items, slices, iteration.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "text/template/machine.h"
#include "text/template/strings.h"

namespace maestrale::text::jinja {
namespace {

std::string object_name(const Value& object) {
  switch (object.kind) {
    case Kind::kNone:
      return "None";
    case Kind::kNamespace:
    case Kind::kCycler:
    case Kind::kJoiner:
      return fmt::format("jinja2.utils.{} object", type_name(object));
    case Kind::kLoop:
      return "jinja2.runtime.LoopContext object";
    default:
      return fmt::format("{} object", type_name(object));
  }
}

}  // namespace

Value Machine::make_view(ViewKind kind, std::span<const Value> items) {
  View* view = arena_.make<View>();
  view->kind = kind;
  view->items = items;
  return Value::of(view);
}

Value Machine::make_method(const Builtin& builtin, const Value& self) {
  return Value::of(arena_.make<Function>(Function{.name = builtin.name, .builtin = &builtin, .self = self}));
}

Value Machine::missing_attribute(const Value& object, std::string_view name) {
  std::string message;
  append_string_repr(message, object_name(object));
  message += " has no attribute ";
  append_string_repr(message, name);
  return undefined(std::move(message));
}

Value Machine::missing_item(const Value& object, const Value& key) {
  if (key.is_string()) return missing_attribute(object, key.str());
  std::string message = object_name(object) + " has no element ";
  append_repr(message, key, 1000);
  return undefined(std::move(message));
}

Result<Value> Machine::loop_attribute(const Value& self, std::string_view name) {
  const Loop& loop = *self.loop;
  const auto index = static_cast<std::int64_t>(loop.index);
  const auto size = static_cast<std::int64_t>(loop.size());
  if (name == "index") return Value::of(index + 1);
  if (name == "index0") return Value::of(index);
  if (name == "first") return Value::of(index == 0);
  if (name == "last") return Value::of(index + 1 == size);
  if (name == "length") return Value::of(size);
  if (name == "revindex") return Value::of(size - index);
  if (name == "revindex0") return Value::of(size - index - 1);
  if (name == "depth") return Value::of(std::int64_t{loop.depth});
  if (name == "depth0") return Value::of(std::int64_t{loop.depth - 1});
  if (name == "previtem")
    return index > 0 ? loop.items[loop.index - 1] : undefined("there is no previous item");
  if (name == "nextitem") {
    return index + 1 < size ? loop.items[loop.index + 1] : undefined("there is no next item");
  }
  return missing_attribute(self, name);
}

Result<Value> Machine::attribute(const Value& object, std::string_view name) {
  if (object.is_undefined()) return fail(std::string(object.str()));
  if (const Builtin* method = find_method(object, name)) return make_method(*method, object);
  if (is_refused_method(object, name)) {
    return undefined(
        fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, type_name(object)));
  }
  if (object.is_dict()) {
    const Value* value = object.dict->find(name);
    if (value != nullptr) return *value;
  } else if (object.kind == Kind::kNamespace) {
    const Value* value = object.names->find(name);
    if (value != nullptr) return *value;
  } else if (object.kind == Kind::kLoop) {
    return loop_attribute(object, name);
  } else if (object.kind == Kind::kCycler && name == "current") {
    return object.cycler->items[object.cycler->position];
  } else if (object.kind == Kind::kFunction && object.function->macro != nullptr && name == "name") {
    return Value::of(object.function->name);
  }
  return missing_attribute(object, name);
}

Result<Value> Machine::item_at(const Value& sequence, const Value& key) {
  std::int64_t index = key.as_int();
  if (sequence.is_string()) {
    TRY(charge(sequence.size / 64));
    const std::string_view text = sequence.str();
    if (index < 0) index += static_cast<std::int64_t>(count_codepoints(text));
    if (index < 0) return missing_item(sequence, key);
    const std::size_t at = byte_offset(text, static_cast<std::size_t>(index));
    if (at >= text.size()) return missing_item(sequence, key);
    return Value::of(text.substr(at, byte_offset(text.substr(at), 1)));
  }
  const auto items = sequence.kind == Kind::kView ? sequence.view->items : sequence.elements();
  if (index < 0) index += static_cast<std::int64_t>(items.size());
  if (index < 0 || index >= static_cast<std::int64_t>(items.size())) return missing_item(sequence, key);
  return items[static_cast<std::size_t>(index)];
}

Result<Value> Machine::item(const Value& object, const Value& key) {
  if (object.is_undefined()) return fail(std::string(object.str()));
  if (object.is_dict() && hashable(key)) {
    const Value* value = object.dict->find(key);
    if (value != nullptr) return *value;
  }
  const bool range = object.kind == Kind::kView && object.view->kind == ViewKind::kRange;
  if ((object.is_sequence() || object.is_string() || range) && key.is_integral()) return item_at(object, key);
  if (key.is_string()) {
    const Value value = TRY(attribute(object, key.str()));
    return value;
  }
  return missing_item(object, key);
}

Result<Value> Machine::path(const Value& object, const Value& attribute_path) {
  if (!attribute_path.is_string()) return item(object, attribute_path);
  Value value = object;
  for (const std::string_view part : split_on(attribute_path.str(), ".", -1)) {
    std::int64_t index = 0;
    const auto [end, status] = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool number = status == std::errc() && end == part.data() + part.size() && part[0] != '-';
    value = TRY(item(value, number ? Value::of(index) : Value::of(part)));
  }
  return value;
}

namespace {

// Python's slice.indices(): where to start, in which steps, and how many.
struct Range {
  std::int64_t start, step;
  std::size_t count;
};

Range resolve_slice(const std::array<Value, 3>& bounds, std::int64_t length) {
  const auto given = [&](std::size_t i) { return !bounds[i].absent() && !bounds[i].is_none(); };
  const std::int64_t step = given(2) ? std::max<std::int64_t>(bounds[2].as_int(), -INT64_MAX) : 1;
  const std::int64_t low = step < 0 ? -1 : 0;
  const std::int64_t high = step < 0 ? length - 1 : length;
  const auto bound = [&](std::size_t i, std::int64_t fallback) {
    if (!given(i)) return fallback;
    std::int64_t at = bounds[i].as_int();
    if (at < 0) at = at < -length ? low : at + length;
    return std::clamp(at, low, high);
  };
  const std::int64_t start = bound(0, step < 0 ? high : low);
  const std::int64_t stop = bound(1, step < 0 ? low : high);
  std::int64_t count = 0;
  if (step > 0 && start < stop) count = (stop - start - 1) / step + 1;
  if (step < 0 && stop < start) count = (start - stop - 1) / -step + 1;
  return {start, step, static_cast<std::size_t>(count)};
}

}  // namespace

Result<Value> Machine::slice(const Value& value, const std::array<Value, 3>& bounds) {
  if (value.is_undefined()) return fail(std::string(value.str()));
  for (const Value& bound : bounds) {
    if (bound.absent() || bound.is_none() || bound.is_integral()) continue;
    return fail("slice indices must be integers or None or have an __index__ method");
  }
  if (bounds[2].is_integral() && bounds[2].as_int() == 0) return fail("slice step cannot be zero");
  if (value.is_string()) {
    const std::string_view text = value.str();
    TRY(charge(text.size() / 64));
    const Range range = resolve_slice(bounds, static_cast<std::int64_t>(count_codepoints(text)));
    if (range.step == 1) {
      const std::string_view tail = text.substr(byte_offset(text, static_cast<std::size_t>(range.start)));
      return Value::of(tail.substr(0, byte_offset(tail, range.count)));
    }
    TRY(charge(text.size()));
    TRY(room(text.size()));
    const std::vector<std::string_view> characters = split_codepoints(text);
    std::string out;
    for (std::size_t i = 0; i < range.count; ++i) {
      out += characters[static_cast<std::size_t>(range.start + static_cast<std::int64_t>(i) * range.step)];
    }
    return string(out);
  }
  if (!value.is_sequence() && !(value.kind == Kind::kView && value.view->kind == ViewKind::kRange)) {
    if (value.is_dict() || value.is_none() || value.is_number()) {
      return undefined(fmt::format("{} has no element slice", object_name(value)));
    }
    return fail(fmt::format("'{}' object is not subscriptable", type_name(value)));
  }
  const auto items = value.kind == Kind::kView ? value.view->items : value.elements();
  const Kind kind = value.kind == Kind::kTuple ? Kind::kTuple : Kind::kList;
  const Range range = resolve_slice(bounds, static_cast<std::int64_t>(items.size()));
  if (range.step == 1) {
    const auto part =
        items.subspan(range.count == 0 ? 0 : static_cast<std::size_t>(range.start), range.count);
    return Value::sequence(kind, part);
  }
  TRY(charge(range.count));
  Value* out = arena_.array<Value>(range.count);
  for (std::size_t i = 0; i < range.count; ++i) {
    out[i] = items[static_cast<std::size_t>(range.start + static_cast<std::int64_t>(i) * range.step)];
  }
  return Value::sequence(kind, {out, range.count});
}

Result<std::span<const Value>> Machine::iterate(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
      return std::span<const Value>();
    case Kind::kList:
    case Kind::kTuple:
      return value.elements();
    case Kind::kView: {
      if (value.view->one_pass() && std::exchange(value.view->consumed, true))
        return std::span<const Value>();
      return value.view->items;
    }
    case Kind::kLoop: {
      const std::size_t from = std::min(value.loop->index + 1, value.loop->size());
      return value.loop->items.subspan(from);
    }
    case Kind::kDict: {
      TRY(charge(value.size));
      Value* items = arena_.array<Value>(value.size);
      for (std::size_t i = 0; i < value.size; ++i) items[i] = value.dict->entries[i].key;
      return std::span<const Value>(items, value.size);
    }
    case Kind::kString: {
      TRY(charge(value.size));
      TRY(room(value.size * sizeof(Value)));
      ArenaVector<Value> items;
      items.grow(arena_, count_codepoints(value.str()));
      for (const std::string_view c : split_codepoints(value.str())) items.push(arena_, Value::of(c));
      return std::span<const Value>(items.data, items.size);
    }
    default:
      return fail(fmt::format("'{}' object is not iterable", type_name(value)));
  }
}

Result<std::string_view> Machine::str(const Value& value) {
  if (value.is_string()) return value.str();
  if (value.is_undefined()) return std::string_view();
  std::string out;
  append_str(out, value, limits_.output_bytes);
  TRY(room(out.size()));
  TRY(charge(out.size() / 64));
  if (out.size() > limits_.output_bytes)
    return fail("a value that prints beyond the limit", ErrorKind::kResource);
  return arena_.copy(out);
}

Result<std::size_t> Machine::length(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
      return std::size_t{0};
    case Kind::kString:
      TRY(charge(value.size / 64));
      return count_codepoints(value.str());
    case Kind::kLoop:
      return value.loop->size();
    case Kind::kView:
      return has_length(value) ? Result<std::size_t>(value.view->items.size())
                               : fail(fmt::format("object of type '{}' has no len()", type_name(value)));
    default:
      if (has_length(value)) return value.size;
      return fail(fmt::format("object of type '{}' has no len()", type_name(value)));
  }
}

}  // namespace maestrale::text::jinja
