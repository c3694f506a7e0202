#include "grammar/number_range.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <tuple>

namespace maestrale::grammar {
namespace {

constexpr std::size_t kDoubleDigits = 15;

int compare_magnitudes(const Decimal& a, const Decimal& b) {
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -1 : 1;
  if (const int order = a.whole.compare(b.whole); order != 0) return order;
  return a.fraction.compare(b.fraction);  // no trailing zeros: text order is number order
}

// "1.25e-07" and the like, as to_chars writes them.
Decimal of_scientific(std::string_view text) {
  Decimal out;
  if (text.starts_with('-')) out.negative = true, text.remove_prefix(1);
  const std::size_t e = text.find('e');
  int exponent = 0;
  std::string_view power = text.substr(e + 1);
  if (power.starts_with('+')) power.remove_prefix(1);
  std::from_chars(power.data(), power.data() + power.size(), exponent);
  std::string digits(text.substr(0, e));
  if (digits.size() > 1) digits.erase(1, 1);
  const int point = exponent + 1;  // digits before the point
  if (point <= 0) {
    out.fraction = std::string(static_cast<std::size_t>(-point), '0') + digits;
  } else {
    const auto before = static_cast<std::size_t>(point);
    if (digits.size() < before) digits.resize(before, '0');
    out.whole = digits.substr(0, before);
    out.fraction = digits.substr(before);
  }
  out.fraction.erase(out.fraction.find_last_not_of('0') + 1);
  if (out.zero()) out.negative = false;
  return out;
}

struct Side {
  Decimal value;
  bool exclusive = false;
  bool present = false;
};

// Magnitudes from `low` to `high`, digit by digit, remembering whether they still equal the beginning of
// either.
class Magnitudes {
 public:
  Magnitudes(CharNfa& nfa, std::uint32_t from, Side low, Side high, bool integer, std::size_t digits)
      : nfa_(nfa),
        from_(from),
        low_(std::move(low)),
        high_(std::move(high)),
        integer_(integer),
        digits_(digits) {}

  void emit() {
    const std::size_t least = low_.value.whole.size();
    const std::size_t most = high_.present ? high_.value.whole.size() : least;
    for (std::size_t length = least; length <= most; ++length) fixed_length(length);
    if (high_.present) return;
    std::uint32_t at = nfa_.add_state();
    nfa_.add_edge(from_, CharSet('1', '9'), at);
    for (std::size_t i = 0; i < least; ++i) {
      const std::uint32_t next = nfa_.add_state();
      nfa_.add_edge(at, CharSet('0', '9'), next);
      at = next;
    }
    nfa_.add_edge(at, CharSet('0', '9'), at);
    nfa_.add_empty(at, after_whole(false, false));
  }

 private:
  void fixed_length(std::size_t length) {
    struct Tight {
      bool low = false, high = false;
      auto operator<=>(const Tight&) const = default;
    };
    const Tight start{length == low_.value.whole.size(), high_.present && length == high_.value.whole.size()};
    std::map<Tight, std::uint32_t> now{{start, from_}};
    for (std::size_t i = 0; i < length; ++i) {
      std::map<Tight, std::uint32_t> next;
      for (const auto& [tight, state] : now) {
        for (char digit = i == 0 && length > 1 ? '1' : '0'; digit <= '9'; ++digit) {
          if (tight.low && digit < low_.value.whole[i]) continue;
          if (tight.high && digit > high_.value.whole[i]) continue;
          const Tight to{tight.low && digit == low_.value.whole[i],
                         tight.high && digit == high_.value.whole[i]};
          const auto [place, fresh] = next.try_emplace(to, 0);
          if (fresh) place->second = nfa_.add_state();
          nfa_.add_edge(state, CharSet(static_cast<char32_t>(digit), static_cast<char32_t>(digit)),
                        place->second);
        }
      }
      now = std::move(next);
    }
    for (const auto& [tight, state] : now) nfa_.add_empty(state, after_whole(tight.low, tight.high));
  }

  std::uint32_t after_whole(bool low, bool high) {
    const std::uint32_t state = nfa_.add_state();
    if (good(0, low, high)) nfa_.accept(state);
    if (integer_ || digits_ == 0) return state;
    const std::uint32_t point = nfa_.add_state();
    nfa_.add_edge(state, CharSet('.', '.'), point);
    fraction(point, 0, low, high);
    return state;
  }

  // Whether the digits so far make a number of the range.
  bool good(std::size_t digits, bool low, bool high) const {
    if (low && (low_.exclusive || digits < low_.value.fraction.size())) return false;
    return !(high && high_.exclusive && digits >= high_.value.fraction.size());
  }

  std::uint32_t fraction_state(std::size_t digits, bool low, bool high) {
    const auto [place, fresh] = fractions_.try_emplace({digits, low, high}, 0);
    if (!fresh) return place->second;
    const std::uint32_t state = nfa_.add_state();
    place->second = state;
    if (good(digits, low, high)) nfa_.accept(state);
    fraction(state, digits, low, high);
    return state;
  }

  void fraction(std::uint32_t state, std::size_t digits, bool low, bool high) {
    if (digits >= digits_ || nfa_.full()) return;
    const auto digit_of = [&](const Side& side) {
      return digits < side.value.fraction.size() ? side.value.fraction[digits] : '0';
    };
    for (char digit = '0'; digit <= '9'; ++digit) {
      if (low && digit < digit_of(low_)) continue;
      if (high && digit > digit_of(high_)) continue;
      const std::uint32_t to =
          fraction_state(digits + 1, low && digit == digit_of(low_), high && digit == digit_of(high_));
      nfa_.add_edge(state, CharSet(static_cast<char32_t>(digit), static_cast<char32_t>(digit)), to);
    }
  }

  CharNfa& nfa_;
  std::uint32_t from_;
  Side low_, high_;
  bool integer_;
  std::size_t digits_;
  std::map<std::tuple<std::size_t, bool, bool>, std::uint32_t> fractions_;
};

}  // namespace

Decimal Decimal::of(const json::value& number) {
  std::array<char, 64> buffer{};
  if (number.is_double()) {
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number.get_double(),
                                   std::chars_format::scientific);
    return of_scientific({buffer.data(), end.ptr});
  }
  const auto end = number.is_int64()
                       ? std::to_chars(buffer.data(), buffer.data() + buffer.size(), number.get_int64())
                       : std::to_chars(buffer.data(), buffer.data() + buffer.size(), number.get_uint64());
  Decimal out;
  out.whole.assign(buffer.data(), end.ptr);
  out.negative = out.whole[0] == '-';
  if (out.negative) out.whole.erase(0, 1);
  return out;
}

int Decimal::compare(const Decimal& other) const {
  if (negative != other.negative) return negative ? -1 : 1;
  return negative ? compare_magnitudes(other, *this) : compare_magnitudes(*this, other);
}

void NumberRange::raise(const Bound& bound) {
  const int order = low ? bound.value.compare(low->value) : 1;
  if (order > 0 || (order == 0 && bound.exclusive)) low = bound;
}

void NumberRange::lower(const Bound& bound) {
  const int order = high ? bound.value.compare(high->value) : -1;
  if (order < 0 || (order == 0 && bound.exclusive)) high = bound;
}

CharNfa numbers_in(const NumberRange& range) {
  std::size_t whole = 1, fraction = 0;
  for (const auto* bound : {&range.low, &range.high}) {
    if (!*bound) continue;
    whole = std::max(whole, (*bound)->value.whole.size());
    fraction = std::max(fraction, (*bound)->value.fraction.size());
  }
  const std::size_t digits = std::max(fraction, whole < kDoubleDigits ? kDoubleDigits - whole : 0);
  const Decimal zero;
  const auto magnitude = [](const Bound& bound) {
    Side side{bound.value, bound.exclusive, true};
    side.value.negative = false;
    return side;
  };
  CharNfa nfa;
  const auto part = [&](std::uint32_t from, const Side& low, const Side& high) {
    Magnitudes(nfa, from, low, high, range.integer, digits).emit();
  };
  const bool some_positive = !range.high || !range.high->value.negative;
  if (some_positive) {
    const bool from_zero = !range.low || range.low->value.negative;
    part(0, from_zero ? Side{zero, false, true} : magnitude(*range.low),
         range.high ? magnitude(*range.high) : Side{});
  }
  if (!range.low || range.low->value.negative) {
    const std::uint32_t minus = nfa.add_state();
    nfa.add_edge(0, CharSet('-', '-'), minus);
    const bool to_zero = !range.high || !range.high->value.negative;
    part(minus, to_zero ? Side{zero, true, true} : magnitude(*range.high),
         range.low ? magnitude(*range.low) : Side{});
  }
  return nfa;
}

}  // namespace maestrale::grammar
