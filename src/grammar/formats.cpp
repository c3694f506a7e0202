#include "grammar/formats.h"

#include <algorithm>
#include <array>

namespace maestrale::grammar {
namespace {

std::string date() {
  const std::string leap = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29";
  return "([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|"
         "02-(0[1-9]|1[0-9]|2[0-8]))|" +
         leap + ")";
}

// No leap seconds; at most nine digits of fraction.
std::string time() {
  return R"(([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))";
}

std::string ipv4() {
  const std::string byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
  return byte + "(\\." + byte + "){3}";
}

// The forms without embedded IPv4.
std::string ipv6() {
  const std::string group = "[0-9a-fA-F]{1,4}";
  std::string out = "((" + group + ":){7}" + group;
  for (int before = 0; before <= 7; ++before) {
    const int after = 7 - before;
    std::string left, right;
    if (before > 0) left = group + "(:" + group + "){" + std::to_string(before - 1) + "}";
    if (after > 0) right = "(" + group + "(:" + group + "){0," + std::to_string(after - 1) + "})?";
    out += "|" + left + "::" + right;
  }
  return out + ")";
}

constexpr std::string_view kLabel = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";

// At most three labels, so that the whole stays below 253 bytes.
std::string hostname() { return std::string(kLabel) + "(\\." + std::string(kLabel) + "){0,2}"; }

std::string email() {
  const std::string atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}";
  return atom + "(\\." + atom + "){0,2}@" + hostname();
}

std::string duration() {
  const std::string time = "T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)";
  const std::string days = "([0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D)";
  return "P(" + days + "(" + time + ")?|" + time + "|[0-9]+W)";
}

// A scheme, then what any URI may hold: with a host, or a path without one.
std::string uri() {
  const std::string c = "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";
  const std::string host = "[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?";
  return "[A-Za-z][A-Za-z0-9+.-]*:(//" + host + "(/" + c + "*)*|" + c + "+(/" + c + "*)*)(\\?(" + c +
         "|[/?])*)?(#(" + c + "|[/?])*)?";
}

}  // namespace

FormatSupport find_format(std::string_view name, std::string& expression) {
  const auto is = [&](std::string_view known, const std::string& pattern) {
    if (name == known) expression = pattern;
    return name == known;
  };
  if (is("date", date()) || is("time", time()) || is("date-time", date() + "T" + time()) ||
      is("uuid", "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}") || is("ipv4", ipv4()) ||
      is("ipv6", ipv6()) || is("hostname", hostname()) || is("email", email()) ||
      is("duration", duration()) || is("uri", uri()) || is("json-pointer", "(/([^~/]|~[01])*)*")) {
    return FormatSupport::kKnown;
  }
  constexpr std::array<std::string_view, 8> kRefused = {
      "idn-email",     "idn-hostname", "iri",   "iri-reference",
      "uri-reference", "uri-template", "regex", "relative-json-pointer"};
  const bool refused = std::find(kRefused.begin(), kRefused.end(), name) != kRefused.end();
  return refused ? FormatSupport::kRefused : FormatSupport::kAnnotation;
}

}  // namespace maestrale::grammar
