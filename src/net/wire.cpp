#include "net/wire.h"

#include <fmt/core.h>

#include <algorithm>

namespace maestrale::net {
namespace {

// Whether a media type names no charset, or UTF-8, of which ASCII is a part.
bool is_utf8(std::string_view type) {
  constexpr std::string_view kName = "charset=";
  while (!type.empty()) {
    std::string_view part = type.substr(0, type.find(';'));
    type.remove_prefix(std::min(part.size() + 1, type.size()));
    while (part.starts_with(' ') || part.starts_with('\t')) part.remove_prefix(1);
    while (part.ends_with(' ') || part.ends_with('\t')) part.remove_suffix(1);
    if (part.size() < kName.size() || !equal_ignoring_case(part.substr(0, kName.size()), kName)) continue;
    part.remove_prefix(kName.size());
    if (part.size() >= 2 && part.starts_with('"') && part.ends_with('"'))
      part = part.substr(1, part.size() - 2);
    const auto is = [part](std::string_view name) { return equal_ignoring_case(part, name); };
    if (!is("utf-8") && !is("utf8") && !is("us-ascii")) return false;
  }
  return true;
}

}  // namespace

HeadVerdict check_head(const Request& head, int version, std::size_t most_fields) {
  if (version != 10 && version != 11) return {.status = 400, .message = "only HTTP/1.0 and 1.1 are spoken"};
  if (head.headers.size() > most_fields)
    return {.status = 431, .message = fmt::format("more than {} header fields", most_fields)};
  const auto count = [&head](std::string_view name) {
    return std::count_if(head.headers.begin(), head.headers.end(),
                         [name](const Header& header) { return header.name == name; });
  };
  if (count("host") > 1 || (version == 11 && count("host") == 0))
    return {.status = 400, .message = "exactly one Host header is needed"};
  const auto coding = head.header("transfer-encoding");
  if (coding) {
    if (version == 10 || count("transfer-encoding") > 1)
      return {.status = 400, .message = "unusable Transfer-Encoding"};
    if (!equal_ignoring_case(*coding, "chunked"))
      return {.status = 400, .message = "only chunked transfer coding is supported"};
    if (count("content-length") > 0)
      return {.status = 400, .message = "both Content-Length and Transfer-Encoding"};
  }
  if (count("content-length") > 1) return {.status = 400, .message = "more than one Content-Length"};
  const auto content = head.header("content-encoding");
  if (content && !equal_ignoring_case(*content, "identity"))
    return {.status = 415, .message = "compressed bodies are not supported"};
  if (const auto type = head.header("content-type"); type && !is_utf8(*type))
    return {.status = 415, .message = "bodies are UTF-8: other charsets are not supported"};
  const auto expect = head.header("expect");
  if (!expect) return {};
  if (!equal_ignoring_case(*expect, "100-continue")) return {.status = 417, .message = "unknown expectation"};
  return {.status = 0, .message = {}, .expects_continue = true};
}

}  // namespace maestrale::net
