// TargetTypes: the type of each tensor that a conversion writes.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "files/convert.h"
#include "files/quant_mix.h"

namespace maestrale::files {

class TargetTypes {
 public:
  // The named mix, or without a name the types as they are.
  static Result<TargetTypes> create(const ConvertOptions& options, MixContext context);
  // `name` is the target's in GGUF's words, `stored` the type of the source (kF8E4M3 for codes with scales).
  DType type_for(std::string_view name, DType stored, const std::vector<std::int64_t>& shape) const;

 private:
  DType kept_type(std::string_view name, DType stored, const std::vector<std::int64_t>& shape) const;

  bool to_gguf_ = true;
  std::optional<QuantMix> mix_;
  MixContext context_;
};

}  // namespace maestrale::files
