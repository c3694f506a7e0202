// An API key as the server knows it: whose it is, what it may do and how much.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/keys.h"

namespace maestrale::serve {

// What a route asks of a key.
enum class Scope { kGenerate, kEmbed, kModels, kMetrics };
std::string_view scope_name(Scope scope);
// "generate", "embed", "models", "metrics"; kUsage with the names that there are.
Result<Scope> scope_from_name(std::string_view name);
const std::vector<Scope>& all_scopes();
// Of a key where nothing is said: all but metrics, which show what other keys use.
const std::vector<Scope>& default_scopes();

struct ApiKey {
  std::string name;                     // shown in metrics; whose it is
  std::string digest;                   // of the key; the key itself is not kept
  std::optional<std::int64_t> id = {};  // in the store; nothing: from a file or the command line
  std::vector<Scope> scopes = all_scopes();
  double weight = 1;  // share among the keys that have work
  store::KeyLimits limits = {};
  std::optional<std::int64_t> expires_s = {};  // since 1970
  bool revoked = false;

  bool may(Scope scope) const;
};

std::string key_digest(std::string_view key);
// A new one, of 256 random bits.
std::string new_key();
// What `maestrale keys list` shows of it.
std::string_view key_prefix(std::string_view key);
// One key a line, "name key" or "key"; blank lines and # comments are left out.
Result<std::vector<ApiKey>> read_keys(std::string_view text, const std::string& where);
// Scopes that this version does not know give nothing.
ApiKey api_key_of(const store::StoredKey& key);

}  // namespace maestrale::serve
