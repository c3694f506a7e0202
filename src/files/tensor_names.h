// Tensor names of decoders between dialects. Canonical names are GGUF's with their suffix; one expert's
// number stands before it: "blk.3.ffn_gate.5.weight".
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "files/checkpoint.h"

namespace maestrale::files {

// "model.layers.3.self_attn.q_proj.weight" -> "blk.3.attn_q.weight". Nothing for names outside the table. A
// name that stands for two (post_attention_layernorm) is taken as Llama's.
std::optional<std::string> canonical_tensor_name(Dialect dialect, std::string_view published);
// The way back; nothing for canonical names outside the table.
std::optional<std::string> published_tensor_name(Dialect dialect, std::string_view canonical);

// Towers and adapters beside the text model, stored rotary tables: what a text-only file leaves out.
bool is_beside_text_model(std::string_view published);
// What stands beside a matrix "X.weight" of FP8 codes: X and one of these for its scales, or for statistics
// of the quantiser that nobody here needs.
inline constexpr std::array kScaleSuffixes = {"weight_scale_inv", "weight_scale", "qscale_weight"};
inline constexpr std::array kIgnoredSuffixes = {"activation_scale", "input_scale", "qscale_act"};
// One of those, or the scales of llama2.c's groups.
bool is_companion_of_matrix(std::string_view published);

// "blk.12.ffn_down.weight" -> 12; -1 for tensors outside the layers.
int layer_of(std::string_view canonical);
// The same of a published name, also where the rest of it is in no table.
int published_layer(Dialect dialect, std::string_view published);

}  // namespace maestrale::files
