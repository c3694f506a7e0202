#include "serve/limits.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace maestrale::serve {
namespace {

constexpr double kMinute_s = 60, kDay_s = 86400;

std::int64_t day_of(double now) { return static_cast<std::int64_t>(std::floor(now / kDay_s)); }

// Seconds until a bucket of `limit` a minute has gained `amount`.
double wait_for(double amount, std::int64_t limit) {
  return std::max(0.0, amount) * kMinute_s / static_cast<double>(limit);
}

LimitState state_of(double level, std::int64_t limit) {
  return {.limit = limit,
          .remaining = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(level))),
          .reset_s = wait_for(static_cast<double>(limit) - level, limit)};
}

}  // namespace

Limits::Limits(Now now) : now_(std::move(now)) {}

// With its buckets filled up to now.
Limits::Account& Limits::account(const ApiKey& key, double now) {
  Account& account = accounts_[key.id.value_or(0)];
  const auto fill = [now](Bucket& bucket, std::optional<std::int64_t> limit) {
    if (!limit) return;
    const auto most = static_cast<double>(*limit);
    const double gained = std::max(0.0, now - bucket.filled_s) * most / kMinute_s;
    bucket.level = bucket.begun ? std::min(most, bucket.level + gained) : most;
    bucket.begun = true;
    bucket.filled_s = now;
  };
  fill(account.requests, key.limits.requests_per_minute);
  fill(account.tokens, key.limits.tokens_per_minute);
  if (account.day != day_of(now)) {
    account.day = day_of(now);
    account.used_today = 0;
  }
  return account;
}

std::optional<LimitRefusal> Limits::lacking_tokens(const ApiKey& key, const Account& account,
                                                   std::int64_t tokens, double now) const {
  if (const auto limit = key.limits.tokens_per_day; limit && account.used_today + tokens > *limit) {
    const double midnight = (static_cast<double>(account.day) + 1) * kDay_s - now;
    return LimitRefusal{fmt::format("the key '{}' may use {} tokens a day (UTC): {} are used, this takes {}",
                                    key.name, *limit, account.used_today, tokens),
                        midnight};
  }
  const auto limit = key.limits.tokens_per_minute;
  if (!limit) return std::nullopt;
  const double needed = static_cast<double>(std::min(tokens, *limit));
  if (account.tokens.level >= needed) return std::nullopt;
  return LimitRefusal{fmt::format("the key '{}' may use {} tokens a minute: {:.0f} are left, this takes {}",
                                  key.name, *limit, std::max(0.0, std::floor(account.tokens.level)), tokens),
                      wait_for(needed - account.tokens.level, *limit)};
}

std::optional<LimitRefusal> Limits::admit_request(const ApiKey& key) {
  if (!key.id) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const double now = now_();
  Account& counted = account(key, now);
  if (const auto limit = key.limits.requests_per_minute; limit && counted.requests.level < 1) {
    return LimitRefusal{fmt::format("the key '{}' may send {} requests a minute", key.name, *limit),
                        wait_for(1 - counted.requests.level, *limit)};
  }
  if (auto refusal = lacking_tokens(key, counted, 1, now)) return refusal;
  counted.requests.level -= 1;
  return std::nullopt;
}

std::optional<LimitRefusal> Limits::reserve(const ApiKey& key, std::int64_t tokens,
                                            std::shared_ptr<Reservation>& into) {
  if (!key.id) return std::nullopt;
  {
    const std::lock_guard lock(mutex_);
    const double now = now_();
    Account& counted = account(key, now);
    if (auto refusal = lacking_tokens(key, counted, tokens, now)) return refusal;
    counted.tokens.level -= static_cast<double>(tokens);
    counted.used_today += tokens;
  }
  into = std::make_shared<Reservation>(*this, *key.id, tokens);
  return std::nullopt;
}

void Limits::Reservation::settle(std::int64_t used) {
  if (std::exchange(settled_, true)) return;
  limits_.give_back(key_, tokens_ - used);
}

void Limits::spend(const ApiKey& key, std::int64_t tokens) {
  if (!key.id) return;
  const std::lock_guard lock(mutex_);
  Account& counted = account(key, now_());
  counted.tokens.level -= static_cast<double>(tokens);
  counted.used_today += tokens;
}

void Limits::give_back(std::int64_t key, std::int64_t tokens) {
  const std::lock_guard lock(mutex_);
  Account& counted = accounts_[key];
  counted.tokens.level += static_cast<double>(tokens);  // the next filling cuts it to the limit
  counted.used_today = std::max<std::int64_t>(0, counted.used_today - tokens);
}

void Limits::set_used_today(std::int64_t key, std::int64_t tokens) {
  const std::lock_guard lock(mutex_);
  Account& counted = accounts_[key];
  counted.day = day_of(now_());
  counted.used_today = tokens;
}

std::optional<LimitState> Limits::requests(const ApiKey& key) {
  if (!key.id || !key.limits.requests_per_minute) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return state_of(account(key, now_()).requests.level, *key.limits.requests_per_minute);
}

std::optional<LimitState> Limits::tokens(const ApiKey& key) {
  if (!key.id) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const double now = now_();
  const Account& counted = account(key, now);
  if (const auto limit = key.limits.tokens_per_minute) return state_of(counted.tokens.level, *limit);
  const auto limit = key.limits.tokens_per_day;
  if (!limit) return std::nullopt;
  return LimitState{.limit = *limit,
                    .remaining = std::max<std::int64_t>(0, *limit - counted.used_today),
                    .reset_s = (static_cast<double>(counted.day) + 1) * kDay_s - now};
}

}  // namespace maestrale::serve
