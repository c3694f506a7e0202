#include "store/keys.h"

#include <fmt/core.h>

namespace maestrale::store {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

StoredKey key_of(const Row& row) {
  return {.id = integer_of(row[0]),
          .name = text_of(row[1]),
          .prefix = text_of(row[2]),
          .digest = bytes_of(row[3]),
          .scopes = split(text_of(row[4])),
          .weight = real_of(row[5]),
          .limits = {.requests_per_minute = optional_integer(row[6]),
                     .tokens_per_minute = optional_integer(row[7]),
                     .tokens_per_day = optional_integer(row[8])},
          .created_s = integer_of(row[9]),
          .expires_s = optional_integer(row[10]),
          .revoked_s = optional_integer(row[11])};
}

}  // namespace

Result<std::int64_t> add_key(Database& store, const StoredKey& key) {
  Transaction transaction = TRY(Transaction::begin(store));
  const Row name{key.name};
  const auto held = TRY(store.query("SELECT prefix FROM api_key WHERE name = ? AND revoked_s IS NULL", name));
  if (!held.empty()) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = fmt::format("there is a key '{}' already", key.name),
                 .where = store.path(),
                 .hint = "choose another name, or revoke it first"};
  }
  const Row row{key.name,
                key.prefix,
                Blob{key.digest},
                joined(key.scopes),
                key.weight,
                value_of(key.limits.requests_per_minute),
                value_of(key.limits.tokens_per_minute),
                value_of(key.limits.tokens_per_day),
                key.created_s,
                value_of(key.expires_s)};
  TRY(
      store.change("INSERT INTO api_key (name, prefix, digest, scopes, weight, requests_per_minute, "
                   "tokens_per_minute, tokens_per_day, created_s, expires_s) VALUES (?,?,?,?,?,?,?,?,?,?)",
                   row));
  const std::int64_t id = store.last_row_id();
  TRY(transaction.commit());
  return id;
}

Result<std::vector<StoredKey>> list_keys(Database& store) {
  std::vector<StoredKey> keys;
  const auto rows =
      TRY(store.query("SELECT id, name, prefix, digest, scopes, weight, requests_per_minute, "
                      "tokens_per_minute, tokens_per_day, created_s, expires_s, revoked_s "
                      "FROM api_key ORDER BY id"));
  for (const Row& row : rows) keys.push_back(key_of(row));
  return keys;
}

Status revoke_key(Database& store, const std::string& name, std::int64_t now_s) {
  const std::int64_t changed = TRY(
      store.change("UPDATE api_key SET revoked_s = ? WHERE name = ? AND revoked_s IS NULL", {now_s, name}));
  if (changed > 0) return {};
  return Error{.kind = ErrorKind::kNotFound,
               .what = fmt::format("no valid key is called '{}'", name),
               .where = store.path(),
               .hint = "`maestrale keys list` shows them"};
}

Result<std::int64_t> data_version(Database& store) {
  return integer_of(TRY(store.value("PRAGMA data_version")));
}

}  // namespace maestrale::store
