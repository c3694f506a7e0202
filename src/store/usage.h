// What was used: one row for each answer, with its exact tokens.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/database.h"

namespace maestrale::store {

struct UsageRecord {
  std::string uid;  // unique; a record that is there already is not written again
  std::int64_t time_s = 0;
  std::optional<std::int64_t> key_id = {};  // of a key in this store
  std::string key_name = {};                // empty: nobody's
  std::string model = {}, route = {}, request_id = {};
  std::string outcome = {};  // stop, length, tool_calls, cancelled, error
  std::int64_t requests = 1;
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;  // of the prompt, taken from the prefix cache
  std::int64_t completion_tokens = 0;
  double seconds = 0;
};

// All of them or none.
Status add_usage(Database& store, std::span<const UsageRecord> records);

enum class UsageGroup { kKey, kModel, kDay };  // days are UTC's

struct UsageQuery {
  std::optional<std::string> key = {};
  std::optional<std::int64_t> since_s = {}, until_s = {};  // [since, until)
  std::vector<UsageGroup> by = {UsageGroup::kKey, UsageGroup::kModel};
};

struct UsageSum {
  std::vector<std::string> group;  // in the order of `by`
  std::int64_t requests = 0, cancelled = 0, failed = 0;
  std::int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
};
// Tokens of prompts and answers by each key's id, since then.
Result<std::map<std::int64_t, std::int64_t>> tokens_since(Database& store, std::int64_t since_s);
Result<std::vector<UsageSum>> sum_usage(Database& store, const UsageQuery& query);

}  // namespace maestrale::store
