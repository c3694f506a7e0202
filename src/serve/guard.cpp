#include "serve/guard.h"

#include <fmt/core.h>
#include <sodium.h>

#include <algorithm>

namespace maestrale::serve {
namespace {

constexpr std::size_t kShortestKey = 8;

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

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

}  // namespace

std::string key_digest(std::string_view key) {
  std::string digest(crypto_generichash_BYTES, '\0');
  crypto_generichash(reinterpret_cast<unsigned char*>(digest.data()), digest.size(),
                     reinterpret_cast<const unsigned char*>(key.data()), key.size(), nullptr, 0);
  return digest;
}

Result<std::vector<ApiKey>> read_keys(std::string_view text, const std::string& where) {
  std::vector<ApiKey> keys;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    const std::size_t blank = line.find_first_of(" \t");
    const std::string_view key = blank == std::string_view::npos ? line : trimmed(line.substr(blank));
    if (key.size() < kShortestKey || key.find_first_of(" \t") != std::string_view::npos) {
      return Error{.kind = ErrorKind::kUsage,
                   .what = "unusable key",
                   .where = fmt::format("{}:{}", where, number),
                   .expected = fmt::format("NAME KEY or KEY, the key at least {} characters", kShortestKey)};
    }
    const std::string name = blank == std::string_view::npos ? fmt::format("key{}", keys.size() + 1)
                                                             : std::string(line.substr(0, blank));
    keys.push_back({.name = name, .digest = key_digest(key)});
  }
  return keys;
}

bool Guard::host_allowed(const net::Request& request) const {
  const std::string_view name = host_name(request.header("host").value_or(""));
  if (listed(options_.hosts, name)) return true;
  // Names that lead to this machine from elsewhere cannot be told from made-up ones: against made-up ones
  // (DNS rebinding) stands the key.
  if (!options_.loopback && !options_.keys.empty()) return true;
  if (!options_.loopback && options_.hosts.empty()) return true;
  return net::is_loopback(name);
}

bool Guard::origin_allowed(std::string_view origin, const net::Request& request) const {
  if (listed(options_.origins, origin)) return true;
  // A page that this server itself delivered.
  const std::string_view host = request.header("host").value_or("");
  return origin == fmt::format("http://{}", host) || origin == fmt::format("https://{}", host);
}

std::optional<std::string> Guard::key_name(const net::Request& request) const {
  std::string_view key;
  if (const auto header = request.header("x-api-key")) key = *header;
  if (const auto header = request.header("authorization")) {
    constexpr std::string_view kBearer = "bearer ";
    if (header->size() > kBearer.size() &&
        net::equal_ignoring_case(header->substr(0, kBearer.size()), kBearer))
      key = trimmed(header->substr(kBearer.size()));
  }
  const std::string digest = key_digest(key);
  std::optional<std::string> found;
  for (const ApiKey& known : options_.keys) {
    if (sodium_memcmp(known.digest.data(), digest.data(), digest.size()) == 0) found = known.name;
  }
  return found;
}

Guard::Verdict Guard::check(const net::Request& request, bool open) const {
  if (!host_allowed(request))
    return {.status = 421, .message = "this Host is not served here; allow it with --allow-host"};
  if (const auto origin = request.header("origin"); origin && !origin_allowed(*origin, request))
    return {.status = 403,
            .message = "pages of this Origin may not call this server; allow them with --cors-origin"};
  if (options_.keys.empty() || open) return {};
  const auto name = key_name(request);
  if (!name)
    return {.status = 401,
            .message = "a valid API key is needed, as `Authorization: Bearer KEY` or x-api-key"};
  return {.status = 0, .message = {}, .tenant = *name};
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
