#include "engine/memory_plan.h"

#include <fmt/format.h>

#include "ops/kv_cache.h"

namespace maestrale::engine {

std::string human_bytes(std::uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= 1'000'000'000) return fmt::format("{:.2f} GB", value / 1e9);
  if (bytes >= 1'000'000) return fmt::format("{:.1f} MB", value / 1e6);
  return fmt::format("{:.1f} kB", value / 1e3);
}

bool MemoryPlan::is_shared_pool() const {
  return kv_pages != ops::KvShape::pages_for(context) * std::int64_t{sequences};
}

std::string MemoryPlan::render() const {
  std::string room = fmt::format("{} × {}", context, sequences);
  if (is_shared_pool()) room = fmt::format("{} tokens for {}", kv_pages * ops::kPageTokens, room);
  return fmt::format("weights {} + KV {} ({}, {}) + workspace {} + base {} = {}", human_bytes(weights),
                     human_bytes(kv_cache), room, kv_type, human_bytes(workspace), human_bytes(base),
                     human_bytes(total()));
}

Status MemoryPlan::check(std::uint64_t budget) const {
  if (total() <= budget) return {};
  const std::uint64_t fixed = weights + workspace + base;
  const std::uint64_t pools = is_shared_pool() ? 1 : static_cast<std::uint64_t>(sequences);
  const std::uint64_t per_token = kv_bytes_per_token * pools;
  std::string hint = is_shared_pool() ? "ways out: a smaller KV pool" : "ways out: a smaller --context";
  if (fixed < budget && per_token > 0)
    hint += fmt::format(" (at most {} fits)", (budget - fixed) / per_token);
  hint +=
      ", a smaller --kv-type (f16, q8), a smaller format (maestrale quantize … q4_k_m); or raise --memory";
  return Error{.kind = ErrorKind::kResource,
               .what = "the model does not fit in memory",
               .expected = fmt::format("at most {}", human_bytes(budget)),
               .found = render(),
               .hint = hint};
}

}  // namespace maestrale::engine
