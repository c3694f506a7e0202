// maestrale keys: who may ask a server, how much, and what they used.
#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "app/commands/commands.h"
#include "app/parse.h"
#include "app/render.h"
#include "serve/api_key.h"
#include "store/schema.h"
#include "store/usage.h"

namespace maestrale::app {
namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 50;

struct Options {
  std::string store;
  bool json = false;
  // create, revoke
  std::string name;
  std::vector<serve::Scope> scopes;
  std::optional<std::int64_t> expires_s;
  std::int64_t requests_per_minute = 0, tokens_per_minute = 0, tokens_per_day = 0;  // 0: not said
  std::optional<double> weight;
  // usage
  std::string key;
  store::UsageQuery query;
};

std::string date_text(std::optional<std::int64_t> seconds) {
  if (!seconds) return "never";
  const std::time_t whole = *seconds;
  std::tm parts{};
  ::gmtime_r(&whole, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

// A date, or how long from now (`direction` 1) or ago (-1).
Result<std::int64_t> parse_moment(const std::string& text, int direction, const std::string& where) {
  if (const auto span = parse_duration(text, where); span.ok()) return std::time(nullptr) + direction * *span;
  auto date = parse_date(text, where);
  if (!date.ok()) date.error().expected = "a time such as 30d or a date such as 2027-01-31";
  return date;
}

std::optional<std::int64_t> limit_of(std::int64_t said) {
  return said > 0 ? std::optional(said) : std::nullopt;
}

json::value or_null(std::optional<std::int64_t> number) {
  return number ? json::value(*number) : json::value();
}

std::string state_of(const store::StoredKey& key) {
  if (key.revoked_s) return "revoked";
  return key.expires_s && *key.expires_s <= std::time(nullptr) ? "expired" : "valid";
}

json::object key_json(const store::StoredKey& key) {
  return {{"name", key.name},
          {"prefix", key.prefix},
          {"state", state_of(key)},
          {"scopes", json::array(key.scopes.begin(), key.scopes.end())},
          {"weight", key.weight},
          {"requests_per_minute", or_null(key.limits.requests_per_minute)},
          {"tokens_per_minute", or_null(key.limits.tokens_per_minute)},
          {"tokens_per_day", or_null(key.limits.tokens_per_day)},
          {"created", key.created_s},
          {"expires", or_null(key.expires_s)},
          {"revoked", or_null(key.revoked_s)}};
}

Status check_name(const std::string& name) {
  constexpr std::size_t kLongest = 64;
  const bool readable = std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.' || c == '@';
  });
  if (readable && !name.empty() && name.size() <= kLongest) return {};
  return Error{.kind = ErrorKind::kUsage,
               .what = "unusable name",
               .where = "NAME",
               .expected = fmt::format("1 to {} letters, digits or any of - _ . @", kLongest),
               .found = fmt::format("'{}'", name)};
}

Status create(const Options& options) {
  TRY(check_name(options.name));
  const std::int64_t now = std::time(nullptr);
  if (options.expires_s && *options.expires_s <= now) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "a key that has expired already",
                 .where = "--expires",
                 .found = date_text(options.expires_s)};
  }
  const std::string secret = serve::new_key();
  store::StoredKey key{.name = options.name,
                       .prefix = std::string(serve::key_prefix(secret)),
                       .digest = serve::key_digest(secret),
                       .weight = options.weight.value_or(1),
                       .limits = {.requests_per_minute = limit_of(options.requests_per_minute),
                                  .tokens_per_minute = limit_of(options.tokens_per_minute),
                                  .tokens_per_day = limit_of(options.tokens_per_day)},
                       .created_s = now,
                       .expires_s = options.expires_s};
  for (const serve::Scope scope : options.scopes.empty() ? serve::default_scopes() : options.scopes)
    key.scopes.emplace_back(serve::scope_name(scope));
  const auto store = TRY(store::open_store(options.store));
  TRY(store::add_key(*store, key));
  if (options.json) {
    json::object out = key_json(key);
    out["key"] = secret;
    return write_json(out);
  }
  write_note("this key is shown once and kept as a hash only:");
  return write_out(secret + "\n");
}

std::string limits_text(const store::KeyLimits& limits) {
  std::string out;
  const auto add = [&out](std::optional<std::int64_t> limit, const char* unit) {
    if (limit) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", *limit, unit);
  };
  add(limits.requests_per_minute, "requests/min");
  add(limits.tokens_per_minute, "tokens/min");
  add(limits.tokens_per_day, "tokens/day");
  return out.empty() ? "no limits" : out;
}

Status list(const Options& options) {
  const auto store = TRY(store::open_store(options.store, {.create = false}));
  const auto keys = TRY(store::list_keys(*store));
  if (options.json) {
    json::array out;
    for (const auto& key : keys) out.push_back(key_json(key));
    return write_json(out);
  }
  if (keys.empty()) write_note("there are no keys; `maestrale keys create` makes one");
  for (const auto& key : keys) {
    std::string scopes;
    for (const std::string& scope : key.scopes) scopes += (scopes.empty() ? "" : ",") + scope;
    TRY(write_out(fmt::format("{} {}… {} {} weight {:g}, {}, expires {}\n", pad(key.name, 16), key.prefix,
                              pad(state_of(key), 7), scopes, key.weight, limits_text(key.limits),
                              date_text(key.expires_s))));
  }
  return {};
}

Status revoke(const Options& options) {
  const auto store = TRY(store::open_store(options.store, {.create = false}));
  TRY(store::revoke_key(*store, options.name, std::time(nullptr)));
  if (options.json) return write_json(json::object{{"revoked", options.name}});
  write_note(fmt::format("'{}' is revoked; a running server refuses it within a second", options.name));
  return {};
}

std::string_view group_name(store::UsageGroup group) {
  if (group == store::UsageGroup::kKey) return "key";
  return group == store::UsageGroup::kModel ? "model" : "day";
}

Status usage(const Options& options) {
  store::UsageQuery query = options.query;
  if (!options.key.empty()) query.key = options.key == "-" ? "" : options.key;
  const auto store = TRY(store::open_store(options.store, {.create = false}));
  const auto sums = TRY(store::sum_usage(*store, query));
  json::array out;
  std::string table;
  for (const store::UsageGroup group : query.by) table += pad(group_name(group), 20) + " ";
  table += "requests  cancelled  failed  prompt tokens  (cached)  answer tokens\n";
  for (const store::UsageSum& sum : sums) {
    json::object row;
    for (std::size_t i = 0; i < query.by.size(); ++i) {
      row[group_name(query.by[i])] = sum.group[i];
      table += pad(sum.group[i].empty() ? "-" : sum.group[i], 20) + " ";
    }
    row["requests"] = sum.requests;
    row["cancelled"] = sum.cancelled;
    row["failed"] = sum.failed;
    row["prompt_tokens"] = sum.prompt_tokens;
    row["cached_tokens"] = sum.cached_tokens;
    row["completion_tokens"] = sum.completion_tokens;
    out.push_back(std::move(row));
    table += fmt::format("{:8}  {:9}  {:6}  {:13}  {:8}  {:13}\n", sum.requests, sum.cancelled, sum.failed,
                         sum.prompt_tokens, sum.cached_tokens, sum.completion_tokens);
  }
  if (options.json) return write_json(out);
  return write_out(table);
}

Status parse_groups(const std::string& text, std::vector<store::UsageGroup>& out) {
  out.clear();
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    begin = end + 1;
    bool known = false;
    for (const auto group : {store::UsageGroup::kKey, store::UsageGroup::kModel, store::UsageGroup::kDay}) {
      if (group_name(group) != word) continue;
      known = std::find(out.begin(), out.end(), group) == out.end();
      out.push_back(group);
    }
    if (!known) {
      return Error{.kind = ErrorKind::kUsage,
                   .what = "unknown or repeated group",
                   .where = "--by",
                   .expected = "key, model and day, with commas",
                   .found = "'" + word + "'"};
    }
  }
  return {};
}

CLI::App* add_part(CLI::App& app, const std::string& name, const std::string& help, Options& options) {
  CLI::App* part = app.add_subcommand(name, help);
  add_text(*part, "--store", options.store, "the database of keys (or MAESTRALE_STORE)")
      ->envname("MAESTRALE_STORE")
      ->required();
  part->add_flag("--json", options.json, "print JSON instead of text");
  return part;
}

void add_create(CLI::App& app, Options& options) {
  CLI::App* part = add_part(app, "create", "make a key and show it once", options);
  add_text(*part, "NAME", options.name, "whose key it is")->required();
  add_parsed(
      *part, "--scope", "SCOPE",
      [&options](const std::string& text) -> Status {
        options.scopes.push_back(TRY(serve::scope_from_name(text)));
        return {};
      },
      "what it may do: generate, embed, models, metrics; may be repeated (default: all but metrics)")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_parsed(
      *part, "--expires", "TIME",
      [&options](const std::string& text) -> Status {
        options.expires_s = TRY(parse_moment(text, 1, "--expires"));
        return {};
      },
      "from when it is refused: 30d, or 2027-01-31 (default: never)");
  add_integer(*part, "--requests-per-minute", options.requests_per_minute, 1, kMost,
              "most requests in a minute (default: no limit)");
  add_integer(*part, "--tokens-per-minute", options.tokens_per_minute, 1, kMost,
              "most tokens of prompts and answers in a minute (default: no limit)");
  add_integer(*part, "--tokens-per-day", options.tokens_per_day, 1, kMost,
              "most tokens from midnight to midnight, UTC (default: no limit)");
  add_number(*part, "--weight", options.weight, 0.001, 1000,
             "its share of the machine beside other keys that have work (default: 1)");
}

void add_usage(CLI::App& app, Options& options) {
  CLI::App* part = add_part(app, "usage", "what was used, from the server's ledger", options);
  add_text(*part, "--key", options.key, "of this key only; -: of requests without a key");
  const auto moment = [&](const char* name, std::optional<std::int64_t>& target, const char* help) {
    add_parsed(
        *part, name, "TIME",
        [&target, name](const std::string& text) -> Status {
          target = TRY(parse_moment(text, -1, name));
          return {};
        },
        help);
  };
  moment("--since", options.query.since_s, "from this time on: 7d (ago), or 2027-01-31");
  moment("--until", options.query.until_s, "before this time");
  add_parsed(
      *part, "--by", "LIST",
      [&options](const std::string& text) { return parse_groups(text, options.query.by); },
      "what to sum by: key, model, day, with commas (default: key,model)");
}

}  // namespace

Command add_keys(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("keys", "who may ask a server, how much, and what they used");
  app->require_subcommand(1);
  add_create(*app, *options);
  add_part(*app, "list", "the keys and their limits", *options);
  CLI::App* part = add_part(*app, "revoke", "make a key useless", *options);
  add_text(*part, "NAME", options->name, "whose key it is")->required();
  add_usage(*app, *options);
  app->footer(
      "Examples:\n"
      "  maestrale keys create alice --store keys.db --tokens-per-day 1000000 --expires 90d\n"
      "  maestrale keys usage --store keys.db --since 30d --by key,day\n"
      "  maestrale serve model.gguf --host 0.0.0.0 --store keys.db");
  return {app, [app, options]() -> Status {
            if (app->got_subcommand("create")) return create(*options);
            if (app->got_subcommand("list")) return list(*options);
            if (app->got_subcommand("revoke")) return revoke(*options);
            return usage(*options);
          }};
}

}  // namespace maestrale::app
