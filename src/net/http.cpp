#include "net/http.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace maestrale::net {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char letter = lower(c);
  return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

Error malformed(std::string what) { return Error{.what = std::move(what), .where = "request head"}; }

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

Status check_line(std::string_view line, bool first) {
  if (std::any_of(line.begin(), line.end(), is_control)) return malformed("a control character in the head");
  if (first) return {};
  if (line.front() == ' ' || line.front() == '\t') return malformed("a folded header line");
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return malformed("a header line without a name");
  if (line[colon - 1] == ' ' || line[colon - 1] == '\t') return malformed("a blank before a header's colon");
  return {};
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::optional<std::string_view> Request::header(std::string_view name) const {
  for (const Header& header : headers) {
    if (header.name == name) return header.value;
  }
  return std::nullopt;
}

std::string_view reason_phrase(int status) {
  constexpr std::pair<int, std::string_view> kPhrases[] = {
      {200, "OK"},
      {204, "No Content"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {413, "Content Too Large"},
      {415, "Unsupported Media Type"},
      {417, "Expectation Failed"},
      {421, "Misdirected Request"},
      {422, "Unprocessable Content"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {503, "Service Unavailable"},
      {529, "Overloaded"},
  };
  for (const auto& [code, phrase] : kPhrases) {
    if (code == status) return phrase;
  }
  return "Status";
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

bool is_loopback(std::string_view address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}

Status check_raw_head(std::string_view head) {
  bool first = true;
  while (!head.empty()) {
    const std::size_t end = head.find('\n');
    if (end == std::string_view::npos || end == 0 || head[end - 1] != '\r')
      return malformed("a line that does not end with CR LF");
    const std::string_view line = head.substr(0, end - 1);
    head.remove_prefix(end + 1);
    if (line.empty()) return {};
    TRY(check_line(line, first));
    first = false;
  }
  return malformed("the head does not end");
}

bool has_bare_line_feed(std::string_view bytes) {
  for (std::size_t at = bytes.find('\n'); at != std::string_view::npos; at = bytes.find('\n', at + 1)) {
    if (at == 0 || bytes[at - 1] != '\r') return true;
  }
  return false;
}

std::string path_of_line(std::string_view line) {
  const std::size_t begin = line.find(' '), end = line.rfind(' ');
  if (begin == std::string_view::npos || end <= begin) return {};
  const auto target = parse_target(line.substr(begin + 1, end - begin - 1));
  return target.ok() ? target->path : "";
}

Result<Target> parse_target(std::string_view target) {
  if (target == "*") return Target{.path = "*", .query = {}};
  const std::size_t scheme = target.find("://");
  if (!target.starts_with('/') && scheme != std::string_view::npos) {
    const std::size_t path = target.find_first_of("/?", scheme + 3);
    target = path == std::string_view::npos ? std::string_view("/") : target.substr(path);
  }
  if (!target.starts_with('/')) return malformed("a target that is no path");
  const std::size_t mark = target.find('?');
  Target out;
  auto path = percent_decode(target.substr(0, mark));
  if (!path) return malformed("a target with a broken percent sign");
  out.path = *std::move(path);
  if (mark != std::string_view::npos) out.query = target.substr(mark + 1);
  return out;
}

std::string render_head(const Response& response, const std::vector<Header>& more) {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_phrase(response.status));
  for (const auto* list : {&response.headers, &more}) {
    for (const Header& header : *list) {
      out += header.name;
      out += ": ";
      // A header's value never breaks its line, whatever a caller put into it.
      for (const char c : header.value) out += is_control(c) ? ' ' : c;
      out += "\r\n";
    }
  }
  return out + "\r\n";
}

std::string render_closing(const Response& response, bool head_only) {
  const std::string length = std::to_string(response.body.size());
  return render_head(response, {{"Content-Length", length}, {"Connection", "close"}}) +
         (head_only ? std::string() : response.body);
}

std::string render_chunk(std::string_view bytes) {
  if (bytes.empty()) return {};
  std::string out = fmt::format("{:x}\r\n", bytes.size());
  out += bytes;
  out += "\r\n";
  return out;
}

}  // namespace maestrale::net
