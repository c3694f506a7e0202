// Tensor names of dense Llama-like models between dialects. Canonical names are GGUF's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "files/checkpoint.h"

namespace maestrale::files {

// "model.layers.3.self_attn.q_proj.weight" -> "blk.3.attn_q.weight". Nothing for names outside the table.
std::optional<std::string> canonical_tensor_name(Dialect dialect, std::string_view published);
// The way back; nothing for canonical names outside the table.
std::optional<std::string> published_tensor_name(Dialect dialect, std::string_view canonical);

// Towers and adapters beside the text model, stored rotary tables: what a text-only file leaves out.
bool is_beside_text_model(std::string_view published);

// "blk.12.ffn_down.weight" -> 12; -1 for tensors outside the layers.
int layer_of(std::string_view canonical);

}  // namespace maestrale::files
