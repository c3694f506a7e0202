#include "text/template/value.h"

#include <bit>
#include <cmath>
#include <functional>

#include "base/check.h"
#include "text/template/machine.h"

namespace maestrale::text::jinja {

Value Value::of_kind(Kind kind) {
  Value value;
  value.kind = kind;
  return value;
}
Value Value::of(bool boolean) {
  Value value = of_kind(Kind::kBool);
  value.boolean = boolean;
  return value;
}
Value Value::of(std::int64_t integer) {
  Value value = of_kind(Kind::kInt);
  value.integer = integer;
  return value;
}
Value Value::of(double real) {
  Value value = of_kind(Kind::kFloat);
  value.real = real;
  return value;
}
Value Value::of(std::string_view text) {
  Value value = of_kind(Kind::kString);
  value.text = text.data();
  value.size = text.size();
  return value;
}
Value Value::of(const Dict* dict) {
  Value value = of_kind(Kind::kDict);
  value.dict = dict;
  value.size = dict->size;
  return value;
}
Value Value::of(View* view) {
  Value value = of_kind(Kind::kView);
  value.view = view;
  return value;
}
Value Value::of(const Function* function) {
  Value value = of_kind(Kind::kFunction);
  value.function = function;
  return value;
}
Value Value::sequence(Kind kind, std::span<const Value> items) {
  Value value = of_kind(kind);
  value.items = items.data();
  value.size = items.size();
  return value;
}
Value Value::undefined(std::string_view message) {
  Value value = of_kind(Kind::kUndefined);
  value.text = message.data();
  value.size = message.size();
  return value;
}

namespace {
constexpr std::size_t kSmallDict = 8;
constexpr std::int64_t kKeyBudget = 1000;  // parts of one dict key

std::uint32_t* find_slot(std::uint32_t* slots, std::size_t mask, const Entry* entries, const Value& key) {
  for (std::size_t at = hash_of(key) & mask;; at = (at + 1) & mask) {
    if (slots[at] == 0 || equal(entries[slots[at] - 1].key, key)) return &slots[at];
  }
}
}  // namespace

const Value* Dict::find(const Value& key) const {
  if (slots == nullptr) {
    for (const Entry& entry : all()) {
      if (equal(entry.key, key)) return &entry.value;
    }
    return nullptr;
  }
  // The table is only written by DictBuilder; find_slot reads.
  const std::uint32_t slot = *find_slot(const_cast<std::uint32_t*>(slots), mask, entries, key);
  return slot == 0 ? nullptr : &entries[slot - 1].value;
}

const Value* Dict::find(std::string_view key) const { return find(Value::of(key)); }

void DictBuilder::reserve(std::size_t count) { entries_.grow(arena_, count); }

void DictBuilder::rehash(std::size_t count) {
  slot_count_ = std::bit_ceil(count * 2);
  slots_ = arena_.array<std::uint32_t>(slot_count_);
  std::fill_n(slots_, slot_count_, 0u);
  for (std::size_t i = 0; i < entries_.size; ++i) {
    *find_slot(slots_, slot_count_ - 1, entries_.data, entries_.data[i].key) =
        static_cast<std::uint32_t>(i + 1);
  }
}

void DictBuilder::set(const Value& key, const Value& value) {
  if (entries_.size > kSmallDict || slots_ != nullptr) {
    if (entries_.size * 2 >= slot_count_) rehash(entries_.size * 2);
    std::uint32_t* slot = find_slot(slots_, slot_count_ - 1, entries_.data, key);
    if (*slot != 0) {
      entries_.data[*slot - 1].value = value;
      return;
    }
    entries_.push(arena_, {key, value});
    *slot = static_cast<std::uint32_t>(entries_.size);
    return;
  }
  for (Entry& entry : entries_) {
    if (equal(entry.key, key)) {
      entry.value = value;
      return;
    }
  }
  entries_.push(arena_, {key, value});
}

const Dict* DictBuilder::finish() {
  const std::size_t mask = slots_ == nullptr ? 0 : slot_count_ - 1;
  return arena_.make<Dict>(entries_.data, entries_.size, slots_, mask);
}

Value* Namespace::find(std::string_view key) const {
  for (Entry& entry : entries) {
    if (entry.key.is_string() && entry.key.str() == key) return &entry.value;
  }
  return nullptr;
}

bool truthy(const Value& value) {
  switch (value.kind) {
    case Kind::kAbsent:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.boolean;
    case Kind::kInt:
      return value.integer != 0;
    case Kind::kFloat:
      return value.real != 0;
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
      return value.size != 0;
    case Kind::kView:
      return value.view->one_pass() || !value.view->items.empty();
    case Kind::kLoop:
      return value.loop->size() != 0;
    default:
      return true;
  }
}

namespace {
bool equal_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.as_int() == b.as_int();
  if (a.kind == Kind::kFloat && b.kind == Kind::kFloat) return a.real == b.real;
  const double real = a.kind == Kind::kFloat ? a.real : b.real;
  const std::int64_t integer = a.kind == Kind::kFloat ? b.as_int() : a.as_int();
  if (!(real >= -0x1p63 && real < 0x1p63) || real != std::trunc(real)) return false;
  return static_cast<std::int64_t>(real) == integer;
}

bool equal_dicts(const Dict& a, const Dict& b, std::int64_t& budget) {
  if (a.size != b.size) return false;
  for (const Entry& entry : a.all()) {
    const Value* other = b.find(entry.key);
    if (other == nullptr || !equal(entry.value, *other, budget)) return false;
  }
  return true;
}

bool equal_items(std::span<const Value> a, std::span<const Value> b, std::int64_t& budget) {
  if (a.size() != b.size()) return false;
  if (a.data() == b.data()) return true;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!equal(a[i], b[i], budget)) return false;
  }
  return true;
}
}  // namespace

bool equal(const Value& a, const Value& b) {
  std::int64_t budget = kKeyBudget;
  return equal(a, b, budget);
}

bool equal(const Value& a, const Value& b, std::int64_t& budget) {
  if (--budget < 0) return false;
  if (a.is_number() && b.is_number()) return equal_numbers(a, b);
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      return a.str() == b.str();
    case Kind::kList:
    case Kind::kTuple:
      return equal_items(a.elements(), b.elements(), budget);
    case Kind::kDict:
      return a.dict == b.dict || equal_dicts(*a.dict, *b.dict, budget);
    case Kind::kView:
      if (a.view == b.view) return true;
      if (a.view->kind != ViewKind::kRange || b.view->kind != ViewKind::kRange) return false;
      return equal_items(a.view->items, b.view->items, budget);
    default:
      return a.integer == b.integer;  // identity: all of these are pointers
  }
}

namespace {
bool hashable_within(const Value& value, std::int64_t& budget) {
  if (--budget < 0 || value.kind == Kind::kList || value.kind == Kind::kDict) return false;
  if (value.kind == Kind::kTuple) {
    for (const Value& item : value.elements()) {
      if (!hashable_within(item, budget)) return false;
    }
  }
  return true;
}
}  // namespace

bool hashable(const Value& value) {
  std::int64_t budget = kKeyBudget;
  return hashable_within(value, budget);
}

std::size_t hash_of(const Value& value) {
  if (value.is_number()) return std::hash<double>{}(value.as_double());
  if (value.is_string()) return std::hash<std::string_view>{}(value.str());
  std::size_t hash = static_cast<std::size_t>(value.kind);
  if (value.kind == Kind::kTuple) {
    for (const Value& item : value.elements()) hash = hash * 31 + hash_of(item);
  }
  return hash;
}

bool has_length(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kLoop:
      return true;
    case Kind::kView:
      return !value.view->one_pass();
    default:
      return false;
  }
}

std::string_view type_name(const Value& value) {
  switch (value.kind) {
    case Kind::kAbsent:
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kView: {
      static constexpr std::string_view kNames[] = {"range",      "dict_keys", "dict_values",
                                                    "dict_items", "generator", "list_reverseiterator"};
      return kNames[static_cast<std::size_t>(value.view->kind)];
    }
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kFunction:
      return value.function->macro != nullptr ? "Macro" : "builtin_function_or_method";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCycler:
      return "Cycler";
    case Kind::kJoiner:
      return "Joiner";
  }
  CHECK(false, "every kind has a name");
}

}  // namespace maestrale::text::jinja
