// The API keys of a store. A key itself is never kept: callers bring its digest.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.h"

namespace maestrale::store {

// What a key may use; nothing: no limit.
struct KeyLimits {
  std::optional<std::int64_t> requests_per_minute = {}, tokens_per_minute = {}, tokens_per_day = {};
  bool operator==(const KeyLimits&) const = default;
};

struct StoredKey {
  std::int64_t id = 0;  // given by the store; never used again
  std::string name;     // one key that is not revoked has it
  std::string prefix = {};
  std::string digest = {};
  std::vector<std::string> scopes = {};
  double weight = 1;  // share among the keys that have work
  KeyLimits limits = {};
  std::int64_t created_s = 0;
  std::optional<std::int64_t> expires_s = {}, revoked_s = {};
};

// Its id. kUsage: another key that is not revoked has this name.
Result<std::int64_t> add_key(Database& store, const StoredKey& key);
// In the order in which they were made, revoked ones too.
Result<std::vector<StoredKey>> list_keys(Database& store);
// kNotFound: no key that is not revoked has this name.
Status revoke_key(Database& store, const std::string& name, std::int64_t now_s);
// Changes whenever another connection has written to the store: a cheap way to know that keys must be read
// again.
Result<std::int64_t> data_version(Database& store);

}  // namespace maestrale::store
