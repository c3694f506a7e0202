#include "app/parse.h"

#include <fmt/core.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>

namespace maestrale::app {
namespace {

Error unreadable(const std::string& where, std::string expected, std::string_view found) {
  return Error{.kind = ErrorKind::kUsage,
               .what = found.empty() ? "value is empty" : "unusable value",
               .where = where,
               .expected = std::move(expected),
               .found = found.empty() ? "" : fmt::format("'{}'", found)};
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

template <class T>
bool read_whole(std::string_view text, T& value) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size();
}

// Bytes per unit for "", "k", "KB", "MiB" and so on; 0 where the text is no unit.
double unit_bytes(std::string_view unit) {
  if (unit.empty() || unit == "B" || unit == "b") return 1.0;
  const std::string_view prefixes = "kmgt";
  const char lower = static_cast<char>(unit[0] >= 'A' && unit[0] <= 'Z' ? unit[0] - 'A' + 'a' : unit[0]);
  const auto power = prefixes.find(lower);
  if (power == std::string_view::npos) return 0.0;
  std::string_view rest = unit.substr(1);
  double step = 1000.0;
  if (!rest.empty() && rest[0] == 'i') {
    step = 1024.0;
    rest.remove_prefix(1);
  }
  if (!rest.empty() && rest != "B" && rest != "b") return 0.0;
  double bytes = 1.0;
  for (std::size_t i = 0; i <= power; ++i) bytes *= step;
  return bytes;
}

}  // namespace

Result<std::int64_t> parse_integer(std::string_view text, std::int64_t low, std::int64_t high,
                                   const std::string& where) {
  std::int64_t value = 0;
  if (read_whole(trim(text), value) && value >= low && value <= high) return value;
  const bool bounded = high < std::numeric_limits<std::int32_t>::max();
  return unreadable(where,
                    bounded ? fmt::format("a whole number from {} to {}", low, high)
                            : fmt::format("a whole number, {} or more", low),
                    text);
}

Result<std::uint64_t> parse_seed(std::string_view text, const std::string& where) {
  std::uint64_t value = 0;
  if (read_whole(trim(text), value)) return value;
  return unreadable(where, "a whole number from 0 to 18446744073709551615", text);
}

Result<double> parse_number(std::string_view text, double low, double high, const std::string& where) {
  double value = 0.0;
  if (read_whole(trim(text), value) && std::isfinite(value) && value >= low && value <= high) return value;
  return unreadable(where, fmt::format("a number from {} to {}", low, high), text);
}

Result<std::uint64_t> parse_size(std::string_view text, const std::string& where) {
  const std::string_view trimmed = trim(text);
  const auto digits = trimmed.find_first_not_of("0123456789.");
  const std::string_view number = trimmed.substr(0, digits);
  const std::string_view unit = digits == std::string_view::npos ? "" : trim(trimmed.substr(digits));
  double value = 0.0;
  const double bytes = read_whole(number, value) ? value * unit_bytes(unit) : 0.0;
  if (bytes >= 1.0 && bytes < 9e18) return static_cast<std::uint64_t>(bytes);
  return unreadable(where, "a size such as 8GB, 512MiB or 16g", text);
}

Result<std::int64_t> parse_duration(std::string_view text, const std::string& where) {
  constexpr std::pair<char, std::int64_t> kUnits[] = {
      {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
  constexpr std::int64_t kMost = std::int64_t{100} * 366 * 86400;
  const std::string_view trimmed = trim(text);
  std::int64_t number = 0;
  for (const auto& [unit, seconds] : kUnits) {
    if (!trimmed.ends_with(unit) || !read_whole(trimmed.substr(0, trimmed.size() - 1), number)) continue;
    if (number >= 1 && number <= kMost / seconds) return number * seconds;
  }
  return unreadable(where, "a time such as 90s, 15m, 12h, 30d or 2w, at most 100 years", text);
}

Result<std::int64_t> parse_date(std::string_view text, const std::string& where) {
  namespace chrono = std::chrono;
  const std::string trimmed(trim(text));
  const bool timed = trimmed.size() == std::string_view("2027-01-31T12:00:00Z").size();
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, end = 0;
  const char* form = timed ? "%4d-%2d-%2dT%2d:%2d:%2dZ%n" : "%4d-%2d-%2d%n";
  const int read =
      timed ? std::sscanf(trimmed.c_str(), form, &year, &month, &day, &hour, &minute, &second, &end)
            : std::sscanf(trimmed.c_str(), form, &year, &month, &day, &end);
  const chrono::year_month_day date{chrono::year(year), chrono::month(static_cast<unsigned>(month)),
                                    chrono::day(static_cast<unsigned>(day))};
  const bool in_day = hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 60;
  if (read >= 3 && end == static_cast<int>(trimmed.size()) && year >= 1970 && date.ok() && in_day) {
    const auto days = chrono::sys_days(date).time_since_epoch().count();
    return std::int64_t{days} * 86400 + hour * 3600 + minute * 60 + second;
  }
  return unreadable(where, "a date such as 2027-01-31 or 2027-01-31T12:00:00Z", text);
}

Result<std::vector<std::int64_t>> parse_integers(std::string_view text, std::int64_t low, std::int64_t high,
                                                 const std::string& where) {
  std::string_view rest = trim(text);
  if (rest.size() >= 2 && rest.front() == '[' && rest.back() == ']')
    rest = trim(rest.substr(1, rest.size() - 2));
  std::vector<std::int64_t> values;
  while (true) {
    const auto comma = rest.find(',');
    values.push_back(TRY(parse_integer(rest.substr(0, comma), low, high, where)));
    if (comma == std::string_view::npos) return values;
    rest.remove_prefix(comma + 1);
  }
}

Result<std::vector<text::TokenId>> parse_tokens(std::string_view text, const std::string& where) {
  const auto values = TRY(parse_integers(text, 0, std::numeric_limits<text::TokenId>::max(), where));
  return std::vector<text::TokenId>(values.begin(), values.end());
}

Result<std::pair<text::TokenId, double>> parse_bias(std::string_view text, const std::string& where) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos)
    return unreadable(where, "TOKEN=BIAS, such as 1734=-5 or 13=-inf", text);
  constexpr std::int64_t kLargest = std::numeric_limits<text::TokenId>::max();
  const auto token = TRY(parse_integer(text.substr(0, equals), 0, kLargest, where));
  const std::string_view bias = trim(text.substr(equals + 1));
  const double value =
      bias == "-inf" ? -std::numeric_limits<double>::infinity() : TRY(parse_number(bias, -1e6, 1e6, where));
  return std::pair{static_cast<text::TokenId>(token), value};
}

}  // namespace maestrale::app
