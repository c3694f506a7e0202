// Who may ask: API keys, Host and Origin checks, CORS. Pure functions of a request's head.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/http.h"
#include "serve/api_key.h"
#include "serve/key_ring.h"

namespace maestrale::serve {

struct GuardOptions {
  std::vector<ApiKey> keys = {};          // with `ring`; neither: anyone may ask
  std::vector<std::string> hosts = {};    // allowed Host names besides the loopback ones; "*": any
  std::vector<std::string> origins = {};  // pages that may call from a browser; "*": any
  bool loopback = true;                   // listens on the loopback alone
  const KeyRing* ring = nullptr;          // keys of a store; outlives the guard
  bool open_to_all = false;               // who brings no key may ask; a known key still counts as its own
};

class Guard {
 public:
  explicit Guard(GuardOptions options);

  struct Verdict {
    int status = 0;  // 0: go on
    std::string message = {};
    std::shared_ptr<const ApiKey> key = {};  // null: nobody's
  };
  // `scope`: what the route asks of a key; nothing: it needs none (/health).
  Verdict check(const net::Request& request, std::optional<Scope> scope) const;
  // Headers to add to the answer for the browser that asks; empty where none asks or its page is not allowed.
  std::vector<net::Header> cors(const net::Request& request) const;

 private:
  bool host_allowed(const net::Request& request) const;
  bool origin_allowed(std::string_view origin, const net::Request& request) const;
  bool needs_key() const;
  std::shared_ptr<const ApiKey> find_key(const net::Request& request) const;
  Verdict check_key(std::shared_ptr<const ApiKey> key, Scope scope) const;
  GuardOptions options_;
  std::vector<std::shared_ptr<const ApiKey>> keys_;
};

}  // namespace maestrale::serve
