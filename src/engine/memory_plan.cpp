#include "engine/memory_plan.h"

#include <fmt/format.h>

namespace maestrale::engine {

std::string human_bytes(std::uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= 1'000'000'000) return fmt::format("{:.2f} GB", value / 1e9);
  if (bytes >= 1'000'000) return fmt::format("{:.1f} MB", value / 1e6);
  return fmt::format("{:.1f} kB", value / 1e3);
}

std::string MemoryPlan::render() const {
  return fmt::format("weights {} + KV {} ({} × {}, {}) + workspace {} + base {} = {}", human_bytes(weights),
                     human_bytes(kv_cache), context, sequences, kv_type, human_bytes(workspace), human_bytes(base),
                     human_bytes(total()));
}

Status MemoryPlan::check(std::uint64_t budget) const {
  if (total() <= budget) return {};
  const std::uint64_t fixed = weights + workspace + base;
  const std::uint64_t per_token = kv_bytes_per_token * static_cast<std::uint64_t>(sequences);
  std::string hint = "ways out: a smaller --context";
  if (fixed < budget && per_token > 0) hint += fmt::format(" (at most {} fits)", (budget - fixed) / per_token);
  hint += ", a smaller --kv-type (f16, q8), a smaller format (maestrale quantize … q4_k_m); or raise --memory";
  return Error{.kind = ErrorKind::kResource,
               .what = "the model does not fit in memory",
               .expected = fmt::format("at most {}", human_bytes(budget)),
               .found = render(),
               .hint = hint};
}

}  // namespace maestrale::engine
