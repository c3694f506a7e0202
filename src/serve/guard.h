// Who may ask: API keys, Host and Origin checks, CORS. Pure functions of a request's head.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/http.h"

namespace maestrale::serve {

struct ApiKey {
  std::string name;    // shown in metrics; whose it is
  std::string digest;  // of the key; the key itself is not kept
};

struct GuardOptions {
  std::vector<ApiKey> keys = {};          // empty: anyone may ask
  std::vector<std::string> hosts = {};    // allowed Host names besides the loopback ones; "*": any
  std::vector<std::string> origins = {};  // pages that may call from a browser; "*": any
  bool loopback = true;                   // listens on the loopback alone
};

std::string key_digest(std::string_view key);
// One key a line, "name key" or "key"; blank lines and # comments are left out.
Result<std::vector<ApiKey>> read_keys(std::string_view text, const std::string& where);

class Guard {
 public:
  explicit Guard(GuardOptions options) : options_(std::move(options)) {}

  struct Verdict {
    int status = 0;  // 0: go on
    std::string message = {};
    std::string tenant = {};  // the key's name
  };
  // `open`: a route that needs no key (/health).
  Verdict check(const net::Request& request, bool open) const;
  // Headers to add to the answer for the browser that asks; empty where none asks or its page is not allowed.
  std::vector<net::Header> cors(const net::Request& request) const;

 private:
  bool host_allowed(const net::Request& request) const;
  bool origin_allowed(std::string_view origin, const net::Request& request) const;
  std::optional<std::string> key_name(const net::Request& request) const;
  GuardOptions options_;
};

}  // namespace maestrale::serve
