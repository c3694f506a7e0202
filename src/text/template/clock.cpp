// strftime in UTC with English names, computed by hand: the result depends on no locale and no time zone.
#include <fmt/format.h>

#include <chrono>

#include "text/template/machine.h"

namespace maestrale::text::jinja {
namespace {

constexpr std::string_view kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};
constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};

struct Moment {
  int year = 1970, month = 1, day = 1;
  int hour = 0, minute = 0, second = 0;
  int weekday = 0;   // 0 Sunday
  int year_day = 0;  // 0 the first of January
};

Moment moment_of(std::int64_t unix_seconds) {
  const std::int64_t days = unix_seconds >= 0 ? unix_seconds / 86400 : -((-unix_seconds + 86399) / 86400);
  const int seconds = static_cast<int>(unix_seconds - days * 86400);
  const std::chrono::sys_days date{std::chrono::days(days)};
  const std::chrono::year_month_day parts(date);
  Moment moment;
  moment.year = static_cast<int>(parts.year());
  moment.month = static_cast<int>(static_cast<unsigned>(parts.month()));
  moment.day = static_cast<int>(static_cast<unsigned>(parts.day()));
  moment.hour = seconds / 3600;
  moment.minute = seconds / 60 % 60;
  moment.second = seconds % 60;
  moment.weekday = static_cast<int>(std::chrono::weekday(date).c_encoding());
  const std::chrono::sys_days first{parts.year() / std::chrono::January / 1};
  moment.year_day = static_cast<int>((date - first).count());
  return moment;
}

// ISO 8601 week and the year it belongs to.
std::pair<int, int> iso_week(const Moment& moment) {
  const int weekday = (moment.weekday + 6) % 7;  // 0 Monday
  const int week = (moment.year_day - weekday + 10) / 7;
  const auto weeks_in = [](int year) {
    const auto last = [](int y) { return (y + y / 4 - y / 100 + y / 400) % 7; };
    return last(year) == 4 || last(year - 1) == 3 ? 53 : 52;
  };
  if (week < 1) return {moment.year - 1, weeks_in(moment.year - 1)};
  if (week > weeks_in(moment.year)) return {moment.year + 1, 1};
  return {moment.year, week};
}

std::string date_code(const Moment& m, char code) {
  const std::string_view day = kDays[m.weekday], month = kMonths[m.month - 1];
  switch (code) {
    case 'a':
      return std::string(day.substr(0, 3));
    case 'A':
      return std::string(day);
    case 'b':
    case 'h':
      return std::string(month.substr(0, 3));
    case 'B':
      return std::string(month);
    case 'C':
      return fmt::format("{:02d}", m.year / 100);
    case 'd':
      return fmt::format("{:02d}", m.day);
    case 'D':
    case 'x':
      return fmt::format("{:02d}/{:02d}/{:02d}", m.month, m.day, m.year % 100);
    case 'e':
      return fmt::format("{:2d}", m.day);
    case 'F':
      return fmt::format("{}-{:02d}-{:02d}", m.year, m.month, m.day);
    case 'G':
      return std::to_string(iso_week(m).first);
    case 'g':
      return fmt::format("{:02d}", iso_week(m).first % 100);
    case 'j':
      return fmt::format("{:03d}", m.year_day + 1);
    case 'm':
      return fmt::format("{:02d}", m.month);
    case 'u':
      return std::to_string(m.weekday == 0 ? 7 : m.weekday);
    case 'U':
      return fmt::format("{:02d}", (m.year_day + 7 - m.weekday) / 7);
    case 'V':
      return fmt::format("{:02d}", iso_week(m).second);
    case 'w':
      return std::to_string(m.weekday);
    case 'W':
      return fmt::format("{:02d}", (m.year_day + 7 - (m.weekday + 6) % 7) / 7);
    case 'y':
      return fmt::format("{:02d}", m.year % 100);
    case 'Y':
      return std::to_string(m.year);
    default:
      return {};
  }
}

std::string time_code(const Moment& m, char code, std::int64_t unix_seconds) {
  const int hour12 = m.hour % 12 == 0 ? 12 : m.hour % 12;
  switch (code) {
    case 'c':
      return fmt::format("{} {} {:2d} {:02d}:{:02d}:{:02d} {}", date_code(m, 'a'), date_code(m, 'b'), m.day,
                         m.hour, m.minute, m.second, m.year);
    case 'f':
      return "000000";
    case 'H':
      return fmt::format("{:02d}", m.hour);
    case 'I':
      return fmt::format("{:02d}", hour12);
    case 'k':
      return fmt::format("{:2d}", m.hour);
    case 'l':
      return fmt::format("{:2d}", hour12);
    case 'M':
      return fmt::format("{:02d}", m.minute);
    case 'n':
      return "\n";
    case 'p':
      return m.hour < 12 ? "AM" : "PM";
    case 'P':
      return m.hour < 12 ? "am" : "pm";
    case 'r':
      return fmt::format("{:02d}:{:02d}:{:02d} {}", hour12, m.minute, m.second, m.hour < 12 ? "AM" : "PM");
    case 'R':
      return fmt::format("{:02d}:{:02d}", m.hour, m.minute);
    case 's':
      return std::to_string(unix_seconds);
    case 'S':
      return fmt::format("{:02d}", m.second);
    case 't':
      return "\t";
    case 'T':
    case 'X':
      return fmt::format("{:02d}:{:02d}:{:02d}", m.hour, m.minute, m.second);
    case '%':
      return "%";
    default:
      return {};
  }
}

}  // namespace

Result<std::string> format_time(Machine& machine, std::string_view format, std::int64_t unix_seconds) {
  const std::int64_t year_10000 = 253'402'300'800, year_1 = -62'135'596'800;
  if (unix_seconds >= year_10000 || unix_seconds < year_1)
    return machine.fail("the clock is beyond the calendar");
  const Moment moment = moment_of(unix_seconds);
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    bool bare = false;  // %-d: without leading zeros or spaces
    if (i + 1 < format.size() && format[i + 1] == '-') {
      bare = true;
      ++i;
    }
    const char code = i + 1 < format.size() ? format[++i] : '\0';
    if (code == 'z' || code == 'Z') continue;  // the clock carries no zone, as Python's datetime.now()
    std::string part = date_code(moment, code);
    if (part.empty()) part = time_code(moment, code, unix_seconds);
    if (part.empty()) return machine.fail(fmt::format("strftime_now() does not know the code %{}", code));
    if (bare) part.erase(0, std::min(part.find_first_not_of("0 "), part.size() - 1));
    out += part;
  }
  return out;
}

}  // namespace maestrale::text::jinja
