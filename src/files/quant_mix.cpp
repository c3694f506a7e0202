#include "files/quant_mix.h"

#include <array>

#include "files/tensor_names.h"

namespace maestrale::files {
namespace {

constexpr std::array kMixes = {
    QuantMix{"f32", DType::kF32, 0},        QuantMix{"f16", DType::kF16, 1},
    QuantMix{"bf16", DType::kBF16, 32},     QuantMix{"q4_0", DType::kQ4_0, 2},
    QuantMix{"q4_1", DType::kQ4_1, 3},      QuantMix{"q5_0", DType::kQ5_0, 8},
    QuantMix{"q5_1", DType::kQ5_1, 9},      QuantMix{"q8_0", DType::kQ8_0, 7},
    QuantMix{"q2_k", DType::kQ2_K, 10},     QuantMix{"q3_k_s", DType::kQ3_K, 11},
    QuantMix{"q3_k_m", DType::kQ3_K, 12},   QuantMix{"q3_k_l", DType::kQ3_K, 13},
    QuantMix{"q4_k_s", DType::kQ4_K, 14},   QuantMix{"q4_k_m", DType::kQ4_K, 15},
    QuantMix{"q5_k_s", DType::kQ5_K, 16},   QuantMix{"q5_k_m", DType::kQ5_K, 17},
    QuantMix{"q6_k", DType::kQ6_K, 18},     QuantMix{"iq4_nl", DType::kIQ4_NL, 25},
    QuantMix{"iq4_xs", DType::kIQ4_XS, 30},
};

// The first and last eighth of the layers, and every third between.
bool takes_more_bits(int layer, int layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

DType value_type(std::string_view mix, DType base, int layer, const MixContext& context) {
  const bool shared = context.queries_per_key >= 4;
  DType type = base;
  if (mix == "q2_k") type = shared ? DType::kQ4_K : DType::kQ3_K;
  if (mix == "q3_k_m") type = layer < 2 ? DType::kQ5_K : DType::kQ4_K;
  if (mix == "q3_k_l") type = DType::kQ5_K;
  if ((mix == "iq4_nl" || mix == "iq4_xs") && shared) type = DType::kQ5_K;
  if ((mix == "q4_k_m" || mix == "q5_k_m") && takes_more_bits(layer, context.layers)) type = DType::kQ6_K;
  if (mix == "q4_k_s" && layer < 4) type = DType::kQ5_K;
  const bool of_70b = context.layers == 80 && context.queries_per_key > 1;
  if (of_70b && (type == DType::kQ3_K || type == DType::kQ4_K)) type = DType::kQ5_K;
  return context.experts == 8 ? DType::kQ8_0 : type;
}

DType down_type(std::string_view mix, DType base, int layer, const MixContext& context) {
  const bool early = layer < context.layers / 8;
  const bool more = takes_more_bits(layer, context.layers);
  if (mix == "q2_k") return DType::kQ3_K;
  if (mix == "q3_k_m") return layer < context.layers / 16 ? DType::kQ5_K : DType::kQ4_K;
  if (mix == "q3_k_l") return DType::kQ5_K;
  if ((mix == "q4_k_m" || mix == "q5_k_m") && more) return DType::kQ6_K;
  if (mix == "q4_k_s" && early) return DType::kQ5_K;
  if ((mix == "iq4_nl" || mix == "iq4_xs") && early && !context.has_importance) return DType::kQ5_K;
  if (mix == "q4_0" && early && context.has_importance) return DType::kQ4_1;
  if (mix == "q5_0" && early && context.has_importance) return DType::kQ5_1;
  return base;
}

DType output_projection_type(std::string_view mix, DType base, const MixContext& context) {
  if (context.experts == 8) {
    for (const char* name : {"q2_k", "q3_k_s", "q3_k_m", "iq4_nl", "q4_k_s", "q4_k_m", "iq4_xs"}) {
      if (mix == name) return DType::kQ5_K;
    }
    return base;
  }
  if (mix == "q2_k") return DType::kQ3_K;
  if (mix == "q3_k_m") return DType::kQ4_K;
  return mix == "q3_k_l" ? DType::kQ5_K : base;
}

DType fused_type(std::string_view mix, DType base) {
  if (mix == "q3_k_m" || mix == "q3_k_l") return DType::kQ4_K;
  if (mix == "q4_k_m") return DType::kQ5_K;
  return mix == "q5_k_m" ? DType::kQ6_K : base;
}

DType wanted_type(const QuantMix& mix, std::string_view canonical, std::int64_t columns,
                  const MixContext& context) {
  const int layer = layer_of(canonical);
  const bool is_output =
      canonical == "output.weight" || (!context.has_output && canonical == "token_embd.weight");
  if (is_output) {
    if (columns % traits(mix.base).block_elements != 0) return DType::kQ8_0;
    return mix.base == DType::kQ8_0 ? DType::kQ8_0 : DType::kQ6_K;
  }
  const auto is = [&](std::string_view part) { return canonical.find(part) != std::string_view::npos; };
  if (is("attn_v.weight")) return value_type(mix.name, mix.base, layer, context);
  if (is("attn_k.weight")) return context.experts == 8 ? DType::kQ8_0 : mix.base;
  if (is("ffn_down")) return down_type(mix.name, mix.base, layer, context);
  if (is("attn_output.weight")) return output_projection_type(mix.name, mix.base, context);
  if (is("attn_qkv.weight")) return fused_type(mix.name, mix.base);
  return mix.base;
}

struct Fallback {
  DType wanted, instead;
};

constexpr std::array kFallbacks = {
    Fallback{DType::kQ2_K, DType::kIQ4_NL}, Fallback{DType::kQ3_K, DType::kIQ4_NL},
    Fallback{DType::kQ4_K, DType::kQ5_0},   Fallback{DType::kQ5_K, DType::kQ5_1},
    Fallback{DType::kQ6_K, DType::kQ8_0},   Fallback{DType::kIQ4_XS, DType::kIQ4_NL},
};

}  // namespace

Result<QuantMix> quant_mix(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  std::string known;
  for (const QuantMix& mix : kMixes) {
    if (mix.name == lower) return mix;
    known += (known.empty() ? "" : ", ") + std::string(mix.name);
  }
  return Error{.kind = ErrorKind::kUsage,
               .what = "no such type to convert to",
               .expected = known,
               .found = std::string(name)};
}

std::vector<std::string_view> quant_mix_names() {
  std::vector<std::string_view> names;
  for (const QuantMix& mix : kMixes) names.push_back(mix.name);
  return names;
}

bool is_quantised_by_mix(std::string_view canonical, std::size_t dimensions) {
  if (dimensions < 2 || !canonical.ends_with("weight")) return false;
  for (const char* part : {"_norm.weight", "ffn_gate_inp.weight", "ssm_conv1d.weight", "pos_embd",
                           "token_types", "attn_rel_b"}) {
    if (canonical.find(part) != std::string_view::npos) return false;
  }
  return true;
}

DType mix_type(const QuantMix& mix, std::string_view canonical, std::int64_t columns,
               const MixContext& context) {
  if (traits(mix.base).block_elements == 1) return mix.base;
  return fitting_type(wanted_type(mix, canonical, columns, context), columns);
}

DType fitting_type(DType type, std::int64_t columns) {
  if (columns % traits(type).block_elements == 0) return type;
  for (const Fallback& row : kFallbacks) {
    if (row.wanted == type) {
      type = row.instead;
      break;
    }
  }
  return columns % traits(type).block_elements == 0 ? type : DType::kF16;
}

}  // namespace maestrale::files
