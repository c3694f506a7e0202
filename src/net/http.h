// What travels over HTTP/1.1, as plain values. No socket and no library type appears here.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace maestrale::net {

struct Header {
  std::string name;  // in requests and received responses: lower case
  std::string value;
};

struct Request {
  std::string method = "GET";
  std::string path = "/";            // percent-decoded, begins with '/'
  std::string query = {};            // as sent, without '?'
  std::vector<Header> headers = {};  // in order, names lower case
  std::string body = {};             // chunks joined
  std::string peer = {};             // the client's address, without the port

  // Value of the first header of that (lower case) name; nothing where there is none.
  std::optional<std::string_view> header(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::vector<Header> headers = {};  // besides Content-Length, Transfer-Encoding, Connection and Date
  std::string body = {};
};

std::string_view reason_phrase(int status);
bool equal_ignoring_case(std::string_view a, std::string_view b);
std::string lower_case(std::string_view text);
// Without blanks, tabs and carriage returns at its ends.
std::string_view trimmed(std::string_view text);
// "%2F" to "/"; nothing where a percent sign is not followed by two hexadecimal digits, or for a NUL.
std::optional<std::string> percent_decode(std::string_view text);
// Whether only this machine can reach the address.
bool is_loopback(std::string_view address);

// What is wrong with the raw bytes of a request's head, up to and including the empty line, beyond what a
// lenient parser refuses: bare line feeds, folded lines, blanks before a colon, control characters.
Status check_raw_head(std::string_view head);

bool has_bare_line_feed(std::string_view bytes);

struct Target {
  std::string path, query;
};
// From the request line's target: origin form, or absolute form whose authority is left out.
Result<Target> parse_target(std::string_view target);
// The path of a request line, or nothing where it has none that can be used.
std::string path_of_line(std::string_view line);

// Status line and header lines, with the empty line.
std::string render_head(const Response& response, const std::vector<Header>& more);
// A whole response after which the connection is closed. `head_only`: to HEAD.
std::string render_closing(const Response& response, bool head_only = false);
// One chunk of a chunked body; nothing for no bytes, which would end the body.
std::string render_chunk(std::string_view bytes);

}  // namespace maestrale::net
