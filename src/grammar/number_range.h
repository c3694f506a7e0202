// Which decimal numbers lie in a range: an automaton over digits, exact.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "grammar/char_nfa.h"

namespace maestrale::grammar {

// A decimal number as it is written: no leading zero but for "0", no trailing zero in the fraction.
struct Decimal {
  bool negative = false;  // never of zero
  std::string whole = "0", fraction = {};

  static Decimal of(const json::value& number);  // a double stands for its shortest spelling
  bool zero() const { return whole == "0" && fraction.empty(); }
  int compare(const Decimal& other) const;
};

struct Bound {
  Decimal value;
  bool exclusive = false;
};

struct NumberRange {
  std::optional<Bound> low, high;
  bool integer = false;

  bool bounded() const { return low.has_value() || high.has_value(); }
  void raise(const Bound& bound);  // low
  void lower(const Bound& bound);  // high
};

// Numbers of the range without exponent; fractions have so many digits at most that a double tells any two
// of them apart. Zero has no sign.
CharNfa numbers_in(const NumberRange& range);

}  // namespace maestrale::grammar
