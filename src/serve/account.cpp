// What keys have to do with a request: limits before it, the ledger after it.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <ctime>

#include "serve/api.h"
#include "serve/dialects/ollama.h"

namespace maestrale::serve {
namespace {

// "120ms", "1.5s", "6m0s", as OpenAI's headers say it.
std::string duration_text(double seconds) {
  if (seconds < 1) return fmt::format("{:.0f}ms", std::ceil(seconds * 1000));
  if (seconds < 60) return fmt::format("{:.3g}s", seconds);
  const auto whole = static_cast<std::int64_t>(std::ceil(seconds));
  if (whole < 3600) return fmt::format("{}m{}s", whole / 60, whole % 60);
  return fmt::format("{}h{}m{}s", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace

bool Api::admit(const Call& call) {
  if (options_.accounts == nullptr || !call.key) return true;
  const auto refusal = options_.accounts->limits().admit_request(*call.key);
  if (!refusal) return true;
  metrics_.limited(call.tenant());
  respond_error(call, {.status = 429, .message = refusal->message, .field = {}, .retry_s = refusal->retry_s});
  return false;
}

Status Api::reserve(Call& call, std::int64_t tokens) {
  if (options_.accounts == nullptr || !call.key) return {};
  const auto refusal = options_.accounts->limits().reserve(*call.key, tokens, call.reservation);
  if (!refusal) return {};
  call.retry_s = refusal->retry_s;
  metrics_.limited(call.tenant());
  return Error{.kind = ErrorKind::kResource, .what = refusal->message};
}

void Api::record(const Call& call, const std::string& uid, const FinishedRequest& finished) {
  if (options_.accounts == nullptr) return;
  const engine::Usage& usage = finished.usage;
  const std::int64_t tokens = usage.prompt_tokens + usage.completion_tokens;
  if (call.reservation) {
    call.reservation->settle(tokens);
  } else if (call.key) {
    options_.accounts->limits().spend(*call.key, tokens);
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - call.received;
  options_.accounts->ledger().add({.uid = uid,
                                   .time_s = std::time(nullptr),
                                   .key_id = call.key ? call.key->id : std::nullopt,
                                   .key_name = call.tenant(),
                                   .model = finished.model,
                                   .route = finished.route,
                                   .request_id = call.id,
                                   .outcome = finished.reason,
                                   .requests = 1,
                                   .prompt_tokens = usage.prompt_tokens,
                                   .cached_tokens = usage.cached_tokens,
                                   .completion_tokens = usage.completion_tokens,
                                   .seconds = taken.count()});
}

void Api::add_limits(const Call& call, std::vector<net::Header>& headers) const {
  if (options_.accounts == nullptr || !call.key) return;
  Limits& limits = options_.accounts->limits();
  const auto add = [&](const std::string& what, const std::optional<LimitState>& state) {
    if (!state) return;
    const std::string limit = std::to_string(state->limit), remaining = std::to_string(state->remaining);
    if (call.dialect == DialectName::kAnthropic) {
      const std::string name = "anthropic-ratelimit-" + what;
      headers.push_back({name + "-limit", limit});
      headers.push_back({name + "-remaining", remaining});
      headers.push_back(
          {name + "-reset", ollama_time(static_cast<double>(std::time(nullptr)) + state->reset_s)});
      return;
    }
    headers.push_back({"x-ratelimit-limit-" + what, limit});
    headers.push_back({"x-ratelimit-remaining-" + what, remaining});
    headers.push_back({"x-ratelimit-reset-" + what, duration_text(state->reset_s)});
  };
  add("requests", limits.requests(*call.key));
  add("tokens", limits.tokens(*call.key));
}

}  // namespace maestrale::serve
