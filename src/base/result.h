// Result<T>: what the outside world (files, network, memory, users) may do to us, as a value.
// A bug of ours is not a Result: it is a CHECK (base/check.h).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace maestrale {

// Who has to act. `usage` is rendered to the user with exit code 2, everything else with exit code 1.
enum class ErrorKind { kInvalidInput, kUsage, kNotFound, kIo, kUnsupported, kResource, kCancelled };

// One clear error: what went wrong, where (file, tensor, field), what was expected, what was found, what to
// do.
struct Error {
  ErrorKind kind = ErrorKind::kInvalidInput;
  std::string what = {};
  std::string where = {};
  std::string expected = {};
  std::string found = {};
  std::string hint = {};

  // "WHERE: WHAT (expected E, found F); HINT": one line, control characters escaped, long values shortened.
  std::string render() const;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit too

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  Error& error() & { return std::get<1>(state_); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit too

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  void value() const {}
  Error& error() & { return *error_; }
  const Error& error() const& { return *error_; }
  Error&& error() && { return *std::move(error_); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

// Unwraps a Result or returns its error from the enclosing function: `auto file = TRY(open(path));`. What the
// same expression made before it is then not destroyed: give it a statement of its own where that would own
// memory, and never a place inside braces (tools/tidy.py looks).
#define TRY(...)                                                  \
  ({                                                              \
    auto&& try_result_ = (__VA_ARGS__);                           \
    if (!try_result_.ok()) return std::move(try_result_).error(); \
    std::move(try_result_).value();                               \
  })

}  // namespace maestrale
