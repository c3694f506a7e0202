#include "serve/api_key.h"

#include <fmt/core.h>
#include <sodium.h>

#include <algorithm>
#include <array>

#include "net/http.h"

namespace maestrale::serve {
namespace {

constexpr std::size_t kShortestKey = 8;
constexpr std::string_view kMark = "mst_";
constexpr std::size_t kLetters = 43;      // of 62, so more than 256 bits
constexpr std::size_t kShownLetters = 4;  // after the mark

constexpr std::array<std::pair<Scope, std::string_view>, 4> kScopes = {{{Scope::kGenerate, "generate"},
                                                                        {Scope::kEmbed, "embed"},
                                                                        {Scope::kModels, "models"},
                                                                        {Scope::kMetrics, "metrics"}}};

}  // namespace

std::string_view scope_name(Scope scope) {
  for (const auto& [known, name] : kScopes) {
    if (known == scope) return name;
  }
  return "";
}

Result<Scope> scope_from_name(std::string_view name) {
  std::string names;
  for (const auto& [scope, known] : kScopes) {
    if (known == name) return scope;
    names += (names.empty() ? "" : ", ") + std::string(known);
  }
  return Error{.kind = ErrorKind::kUsage,
               .what = "unknown scope",
               .where = "--scope",
               .expected = names,
               .found = fmt::format("'{}'", name)};
}

const std::vector<Scope>& all_scopes() {
  static const std::vector<Scope> kAll = {Scope::kGenerate, Scope::kEmbed, Scope::kModels, Scope::kMetrics};
  return kAll;
}

const std::vector<Scope>& default_scopes() {
  static const std::vector<Scope> kDefault = {Scope::kGenerate, Scope::kEmbed, Scope::kModels};
  return kDefault;
}

bool ApiKey::may(Scope scope) const { return std::find(scopes.begin(), scopes.end(), scope) != scopes.end(); }

std::string key_digest(std::string_view key) {
  std::string digest(crypto_generichash_BYTES, '\0');
  crypto_generichash(reinterpret_cast<unsigned char*>(digest.data()), digest.size(),
                     reinterpret_cast<const unsigned char*>(key.data()), key.size(), nullptr, 0);
  return digest;
}

std::string new_key() {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  std::string key(kMark);
  for (std::size_t i = 0; i < kLetters; ++i)
    key += kAlphabet[randombytes_uniform(static_cast<std::uint32_t>(kAlphabet.size()))];
  return key;
}

std::string_view key_prefix(std::string_view key) { return key.substr(0, kMark.size() + kShownLetters); }

Result<std::vector<ApiKey>> read_keys(std::string_view text, const std::string& where) {
  std::vector<ApiKey> keys;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = net::trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    const std::size_t blank = line.find_first_of(" \t");
    const std::string_view key = blank == std::string_view::npos ? line : net::trimmed(line.substr(blank));
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

ApiKey api_key_of(const store::StoredKey& key) {
  ApiKey out{.name = key.name,
             .digest = key.digest,
             .id = key.id,
             .scopes = {},
             .weight = key.weight,
             .limits = key.limits,
             .expires_s = key.expires_s,
             .revoked = key.revoked_s.has_value()};
  for (const std::string& name : key.scopes) {
    const auto scope = scope_from_name(name);
    if (scope.ok()) out.scopes.push_back(*scope);
  }
  return out;
}

}  // namespace maestrale::serve
