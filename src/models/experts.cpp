#include "models/experts.h"

#include <algorithm>
#include <string>

namespace maestrale::models {

Result<nn::MoeOptions> read_experts(const ConfigReader& config, std::int64_t hidden_size,
                                    const ExpertKeys& keys) {
  const std::int64_t experts = TRY(config.size(keys.count));
  const std::int64_t chosen = TRY(config.size(keys.chosen));
  if (experts < 1 || experts > ops::kMaxExperts || chosen < 1 ||
      chosen > std::min<std::int64_t>(experts, ops::kMaxChosen)) {
    return Error{.what = "the numbers of experts are out of range",
                 .where = config.fields().where(),
                 .expected = "at most " + std::to_string(ops::kMaxExperts) +
                             " experts, of which a token takes at most " + std::to_string(ops::kMaxChosen),
                 .found = std::to_string(experts) + " experts, " + std::to_string(chosen) + " for a token"};
  }
  nn::MoeOptions moe;
  moe.hidden_size = hidden_size;
  moe.ffn_size = TRY(config.size(keys.ffn));
  moe.router.experts = static_cast<int>(experts);
  moe.router.chosen = static_cast<int>(chosen);
  return moe;
}

}  // namespace maestrale::models
