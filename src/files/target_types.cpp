#include "files/target_types.h"

namespace maestrale::files {
namespace {

bool is_blocks(DType dtype) { return traits(dtype).block_elements != 1; }
bool can_be_read(DType dtype) { return traits(dtype).dequantise != nullptr; }

// What GGUF files hold as f32 whatever their type: routers and biases, also those of all experts together.
bool is_small(std::string_view name) {
  return name.ends_with(".bias") || name.ends_with("ffn_gate_inp.weight");
}

}  // namespace

Result<TargetTypes> TargetTypes::create(const ConvertOptions& options, MixContext context) {
  TargetTypes types;
  types.to_gguf_ = options.container == Container::kGguf;
  types.context_ = context;
  types.context_.has_importance = options.importance != nullptr;
  if (options.type.empty()) return types;
  types.mix_ = TRY(quant_mix(options.type));
  if (!is_blocks(types.mix_->base) || types.to_gguf_) return types;
  return Error{.kind = ErrorKind::kUsage,
               .what = "safetensors files are written as f32, f16 or bf16 only",
               .found = options.type,
               .hint = "convert to GGUF for a quantised model"};
}

DType TargetTypes::type_for(std::string_view name, DType stored,
                            const std::vector<std::int64_t>& shape) const {
  if (!mix_) return kept_type(name, stored, shape);
  if (is_quantised_by_mix(name, shape.size())) {
    // gpt-oss was trained in MXFP4; another small type would only lose.
    if (stored == DType::kMXFP4 && is_blocks(mix_->base)) return stored;
    return mix_type(*mix_, name, shape.back(), context_);
  }
  if (!can_be_read(stored)) return stored;
  return to_gguf_ ? DType::kF32 : mix_->base;
}

// Vectors are f32 in GGUF. What the container does not know goes to a type that loses nothing, FP8 with its
// scales to bf16 as its authors' own script does, blocks in safetensors to bf16, and blocks that do not fit
// into their new rows to the type that llama.cpp falls back to.
DType TargetTypes::kept_type(std::string_view name, DType stored,
                             const std::vector<std::int64_t>& shape) const {
  if (stored == DType::kI8) return DType::kF32;  // llama2.c's groups
  if (!to_gguf_) return stored == DType::kF8E4M3 || is_blocks(stored) ? DType::kBF16 : stored;
  if (can_be_read(stored) && (shape.size() < 2 || is_small(name))) return DType::kF32;
  if (stored == DType::kF8E4M3) return DType::kBF16;
  return fitting_type(stored, shape.empty() ? 1 : shape.back());
}

}  // namespace maestrale::files
