// Values as a template sees them: Python's, immutable but for namespaces, loops, cyclers and joiners. A Value
// is a small handle; what it points to lives in the rendering's Arena, in the syntax tree or in the caller's
// JSON.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "text/template/arena.h"

namespace maestrale::text::jinja {

enum class Kind : std::uint8_t {
  kAbsent,  // an argument that was not given; never seen by a template
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kView,  // range, dict_items, generator …: iterable, not a list
  kNamespace,
  kFunction,
  kLoop,
  kCycler,
  kJoiner,
};

struct Value;
struct Dict;
struct View;
struct Namespace;
struct Function;
struct Loop;
struct Cycler;
struct Joiner;

struct Value {
  Kind kind = Kind::kAbsent;
  std::size_t size = 0;  // bytes of text, or number of items
  union {
    std::int64_t integer = 0;
    bool boolean;
    double real;
    const char* text;  // the string, or the message of an undefined value
    const Value* items;
    const Dict* dict;
    View* view;
    Namespace* names;
    const Function* function;
    Loop* loop;
    Cycler* cycler;
    Joiner* joiner;
  };

  static Value none() { return of_kind(Kind::kNone); }
  static Value of(bool value);
  static Value of(std::int64_t value);
  static Value of(double value);
  static Value of(std::string_view value);
  static Value of(const char*) = delete;
  static Value of(const Dict* value);
  static Value of(View* value);
  static Value of(const Function* value);
  static Value list(std::span<const Value> items) { return sequence(Kind::kList, items); }
  static Value list(const ArenaVector<Value>& v) { return sequence(Kind::kList, {v.data, v.size}); }
  static Value tuple(std::span<const Value> items) { return sequence(Kind::kTuple, items); }
  static Value sequence(Kind kind, std::span<const Value> items);
  static Value undefined(std::string_view message);
  static Value of_kind(Kind kind);

  bool absent() const { return kind == Kind::kAbsent; }
  bool is_undefined() const { return kind == Kind::kUndefined; }
  bool is_none() const { return kind == Kind::kNone; }
  bool is_string() const { return kind == Kind::kString; }
  bool is_dict() const { return kind == Kind::kDict; }
  bool is_sequence() const { return kind == Kind::kList || kind == Kind::kTuple; }
  bool is_integral() const { return kind == Kind::kInt || kind == Kind::kBool; }
  bool is_number() const { return is_integral() || kind == Kind::kFloat; }
  std::string_view str() const { return {text, size}; }
  std::span<const Value> elements() const { return {items, size}; }
  std::int64_t as_int() const { return kind == Kind::kBool ? (boolean ? 1 : 0) : integer; }
  double as_double() const { return kind == Kind::kFloat ? real : static_cast<double>(as_int()); }
};

struct Entry {
  Value key;
  Value value;
};

// Keeps the order of first insertion. Lookup is linear for small dicts, hashed for others.
struct Dict {
  const Entry* entries = nullptr;
  std::size_t size = 0;
  const std::uint32_t* slots = nullptr;  // index + 1 into entries, 0 empty; null for small dicts
  std::size_t mask = 0;

  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  std::span<const Entry> all() const { return {entries, size}; }
};

// Collects entries (a later equal key replaces the value, as in Python) and makes the Dict.
class DictBuilder {
 public:
  explicit DictBuilder(Arena& arena) : arena_(arena) {}
  void reserve(std::size_t count);
  void set(const Value& key, const Value& value);
  std::size_t size() const { return entries_.size; }
  const Dict* finish();

 private:
  void rehash(std::size_t count);
  Arena& arena_;
  ArenaVector<Entry> entries_;
  std::uint32_t* slots_ = nullptr;
  std::size_t slot_count_ = 0;
};

enum class ViewKind : std::uint8_t { kRange, kKeys, kValues, kItems, kGenerator, kReversed };

struct View {
  ViewKind kind = ViewKind::kGenerator;
  std::span<const Value> items = {};
  bool consumed = false;                       // generators and reversed(): one pass
  std::int64_t start = 0, stop = 0, step = 1;  // range
  bool one_pass() const { return kind == ViewKind::kGenerator || kind == ViewKind::kReversed; }
};

struct Namespace {
  ArenaVector<Entry> entries;
  Value* find(std::string_view key) const;
};

struct Cycler {
  std::span<const Value> items;
  std::size_t position = 0;
};

struct Joiner {
  std::string_view separator;
  bool used = false;
};

bool truthy(const Value& value);
// Python's ==. Every pair of parts compared takes one from `budget`; below zero the answer means nothing.
bool equal(const Value& a, const Value& b, std::int64_t& budget);
bool equal(const Value& a, const Value& b);  // for dict keys
bool hashable(const Value& value);
std::size_t hash_of(const Value& value);
// Python's type(value).__name__, e.g. "str", "NoneType", "dict_items".
std::string_view type_name(const Value& value);
bool has_length(const Value& value);  // Python's len() works

// str(value) and repr(value), appended until `out` is longer than `limit`; nesting is cut at a fixed depth.
// The caller checks out.size() > limit.
void append_str(std::string& out, const Value& value, std::size_t limit);
void append_repr(std::string& out, const Value& value, std::size_t limit, int depth = 0);
void append_string_repr(std::string& out, std::string_view text);
void append_float(std::string& out, double value);

}  // namespace maestrale::text::jinja
