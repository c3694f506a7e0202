// Which type each tensor gets when a model is quantised: one type, or a mix that spends more bits where they
// matter. The mixes and their rules are the published ones of llama.cpp (llama_tensor_get_type), so that a
// name like q4_k_m means here what it means elsewhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tensor/dtype.h"

namespace maestrale::files {

struct QuantMix {
  std::string_view name;
  DType base = DType::kF16;
  std::uint32_t file_type = 0;  // general.file_type of GGUF
};

Result<QuantMix> quant_mix(std::string_view name);
std::vector<std::string_view> quant_mix_names();

// What the rules look at.
struct MixContext {
  int layers = 0;
  int queries_per_key = 1;  // heads over key-value heads
  int experts = 0;
  bool has_output = true;  // else token_embd is the output too
  bool has_importance = false;
};

// `type`, or where its blocks do not fit into a row what llama.cpp falls back to, f16 in the end.
DType fitting_type(DType type, std::int64_t columns);
// Norms, biases, routers and everything one-dimensional stay as they are.
bool is_quantised_by_mix(std::string_view canonical, std::size_t dimensions);
// The type of one tensor of that kind; `columns` decides on the fallback where blocks of 256 do not fit.
DType mix_type(const QuantMix& mix, std::string_view canonical, std::int64_t columns,
               const MixContext& context);

}  // namespace maestrale::files
