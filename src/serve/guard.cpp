#include "serve/guard.h"

#include <fmt/core.h>
#include <sodium.h>

#include <algorithm>
#include <ctime>

namespace maestrale::serve {
namespace {

// "example.org:8080" and "[::1]:8080" without the port.
std::string_view host_name(std::string_view host) {
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    return end == std::string_view::npos ? host : host.substr(1, end - 1);
  }
  return host.substr(0, host.find(':'));
}

bool listed(const std::vector<std::string>& list, std::string_view name) {
  return std::any_of(list.begin(), list.end(), [name](const std::string& entry) {
    return entry == "*" || net::equal_ignoring_case(entry, name);
  });
}

}  // namespace

Guard::Guard(GuardOptions options) : options_(std::move(options)) {
  for (ApiKey& key : options_.keys) keys_.push_back(std::make_shared<ApiKey>(std::move(key)));
}

bool Guard::needs_key() const {
  return !options_.open_to_all && (!keys_.empty() || options_.ring != nullptr);
}

bool Guard::host_allowed(const net::Request& request) const {
  const std::string_view name = host_name(request.header("host").value_or(""));
  if (listed(options_.hosts, name)) return true;
  // Names that lead to this machine from elsewhere cannot be told from made-up ones: against made-up ones
  // (DNS rebinding) stands the key.
  if (!options_.loopback && needs_key()) return true;
  if (!options_.loopback && options_.hosts.empty()) return true;
  return net::is_loopback(name);
}

bool Guard::origin_allowed(std::string_view origin, const net::Request& request) const {
  if (listed(options_.origins, origin)) return true;
  // A page that this server itself delivered.
  const std::string_view host = request.header("host").value_or("");
  return origin == fmt::format("http://{}", host) || origin == fmt::format("https://{}", host);
}

std::shared_ptr<const ApiKey> Guard::find_key(const net::Request& request) const {
  std::string_view key;
  if (const auto header = request.header("x-api-key")) key = *header;
  if (const auto header = request.header("authorization")) {
    constexpr std::string_view kBearer = "bearer ";
    if (header->size() > kBearer.size() &&
        net::equal_ignoring_case(header->substr(0, kBearer.size()), kBearer))
      key = net::trimmed(header->substr(kBearer.size()));
  }
  const std::string digest = key_digest(key);
  std::shared_ptr<const ApiKey> found;
  for (const auto& known : keys_) {
    if (sodium_memcmp(known->digest.data(), digest.data(), digest.size()) == 0) found = known;
  }
  if (found == nullptr && options_.ring != nullptr) found = options_.ring->find(digest);
  return found;
}

Guard::Verdict Guard::check_key(std::shared_ptr<const ApiKey> key, Scope scope) const {
  if (key == nullptr)
    return {.status = 401,
            .message = "a valid API key is needed, as `Authorization: Bearer KEY` or x-api-key"};
  if (key->revoked) return {.status = 401, .message = fmt::format("the API key '{}' was revoked", key->name)};
  if (key->expires_s && std::time(nullptr) >= *key->expires_s)
    return {.status = 401, .message = fmt::format("the API key '{}' has expired", key->name)};
  if (!key->may(scope))
    return {.status = 403,
            .message = fmt::format("the API key '{}' lacks the scope '{}'", key->name, scope_name(scope))};
  return {.status = 0, .message = {}, .key = std::move(key)};
}

Guard::Verdict Guard::check(const net::Request& request, std::optional<Scope> scope) const {
  if (!host_allowed(request))
    return {.status = 421, .message = "this Host is not served here; allow it with --allow-host"};
  if (const auto origin = request.header("origin"); origin && !origin_allowed(*origin, request))
    return {.status = 403,
            .message = "pages of this Origin may not call this server; allow them with --cors-origin"};
  if (!scope || (keys_.empty() && options_.ring == nullptr)) return {};
  const Verdict verdict = check_key(find_key(request), *scope);
  if (verdict.status != 0 && !needs_key()) return {};
  return verdict;
}

std::vector<net::Header> Guard::cors(const net::Request& request) const {
  const auto origin = request.header("origin");
  if (!origin || !origin_allowed(*origin, request)) return {};
  return {{"Access-Control-Allow-Origin", std::string(*origin)},
          {"Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS"},
          {"Access-Control-Allow-Headers", "*, Authorization"},
          {"Access-Control-Max-Age", "600"},
          {"Vary", "Origin"}};
}

}  // namespace maestrale::serve
