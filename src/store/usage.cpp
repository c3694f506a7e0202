#include "store/usage.h"

namespace maestrale::store {
namespace {

std::string column_of(UsageGroup group) {
  switch (group) {
    case UsageGroup::kKey:
      return "key_name";
    case UsageGroup::kModel:
      return "model";
    case UsageGroup::kDay:
      break;
  }
  return "date(time_s, 'unixepoch')";
}

}  // namespace

Status add_usage(Database& store, std::span<const UsageRecord> records) {
  Transaction transaction = TRY(Transaction::begin(store));
  {
    Statement insert = TRY(Statement::prepare(
        store,
        "INSERT INTO usage (uid, time_s, key_id, key_name, model, route, request_id, outcome, requests, "
        "prompt_tokens, cached_tokens, completion_tokens, seconds) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) "
        "ON CONFLICT (uid) DO NOTHING"));
    for (const UsageRecord& record : records) {
      const Row row{record.uid,      record.time_s,        value_of(record.key_id), record.key_name,
                    record.model,    record.route,         record.request_id,       record.outcome,
                    record.requests, record.prompt_tokens, record.cached_tokens,    record.completion_tokens,
                    record.seconds};
      TRY(insert.run(row));
    }
  }
  return transaction.commit();
}

Result<std::map<std::int64_t, std::int64_t>> tokens_since(Database& store, std::int64_t since_s) {
  std::map<std::int64_t, std::int64_t> tokens;
  for (const Row& row : TRY(store.query("SELECT key_id, sum(prompt_tokens + completion_tokens) FROM usage "
                                        "WHERE time_s >= ? AND key_id IS NOT NULL GROUP BY key_id",
                                        {since_s})))
    tokens[integer_of(row[0])] = integer_of(row[1]);
  return tokens;
}

Result<std::vector<UsageSum>> sum_usage(Database& store, const UsageQuery& query) {
  std::string groups;
  for (const UsageGroup group : query.by) groups += column_of(group) + ", ";
  std::string sql = "SELECT " + groups +
                    "sum(requests), sum(requests * (outcome = 'cancelled')), sum(requests * (outcome = "
                    "'error')), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens) "
                    "FROM usage WHERE true";
  Row parameters;
  const auto only = [&](const char* condition, Value value) {
    sql += condition;
    parameters.push_back(std::move(value));
  };
  if (query.key) only(" AND key_name = ?", *query.key);
  if (query.since_s) only(" AND time_s >= ?", *query.since_s);
  if (query.until_s) only(" AND time_s < ?", *query.until_s);
  if (!groups.empty()) {
    groups.resize(groups.size() - 2);
    sql += " GROUP BY " + groups + " ORDER BY " + groups;
  }
  std::vector<UsageSum> sums;
  for (const Row& row : TRY(store.query(sql, parameters))) {
    UsageSum& sum = sums.emplace_back();
    std::size_t at = 0;
    for (; at < query.by.size(); ++at) sum.group.push_back(text_of(row[at]));
    for (std::int64_t* target : {&sum.requests, &sum.cancelled, &sum.failed, &sum.prompt_tokens,
                                 &sum.cached_tokens, &sum.completion_tokens})
      *target = integer_of(row[at++]);
  }
  return sums;
}

}  // namespace maestrale::store
