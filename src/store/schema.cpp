#include "store/schema.h"

namespace maestrale::store {
namespace {

// Only ever append: a store that is in use stands at one of these.
constexpr std::string_view kSteps[] = {
    // 1: who may ask, and what they used. A use names its key twice, so that it says whose it was by itself.
    R"sql(
CREATE TABLE api_key (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL CHECK (name <> ''),
  prefix TEXT NOT NULL,              -- what the key begins with, to tell keys apart
  digest BLOB NOT NULL UNIQUE,       -- of the whole key, which is not kept
  scopes TEXT NOT NULL,              -- words with a blank between them
  weight REAL NOT NULL CHECK (weight > 0),
  requests_per_minute INTEGER,       -- limits; NULL: none
  tokens_per_minute INTEGER,
  tokens_per_day INTEGER,
  created_s INTEGER NOT NULL,
  expires_s INTEGER,
  revoked_s INTEGER
) STRICT;
CREATE UNIQUE INDEX api_key_name ON api_key (name) WHERE revoked_s IS NULL;
CREATE TABLE usage (
  uid TEXT PRIMARY KEY,              -- given by the server, so that no use is written twice
  time_s INTEGER NOT NULL,           -- of its end
  key_id INTEGER,                    -- NULL: not a key of this store
  key_name TEXT NOT NULL,            -- '': nobody's
  model TEXT NOT NULL,
  route TEXT NOT NULL,
  request_id TEXT NOT NULL,          -- the response's x-request-id; '' where requests were counted together
  outcome TEXT NOT NULL,             -- stop, length, tool_calls, cancelled, error
  requests INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  seconds REAL NOT NULL              -- from arrival to end
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_time ON usage (time_s);
CREATE INDEX usage_key ON usage (key_name, time_s);
)sql",
};

}  // namespace

Migrations schema() { return kSteps; }

Result<std::unique_ptr<Database>> open_store(const std::filesystem::path& path,
                                             const DatabaseOptions& options) {
  return Database::open(path, schema(), options);
}

}  // namespace maestrale::store
