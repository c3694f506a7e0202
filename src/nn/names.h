// Canonical tensor names and what each dialect of checkpoint calls them. Canonical names are GGUF's without
// ".weight": "token_embd", "blk.3.attn_q", "blk.3.ffn_gate", "output_norm", "output".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "files/checkpoint.h"

namespace maestrale::nn {

// "blk.3.attn_q" + "weight" -> "model.layers.3.self_attn.q_proj.weight" (Hugging Face, with `prefix` in place
// of "model."), "layers.3.attention.wq.weight" (Mistral, llama2.c), "blk.3.attn_q.weight" (GGUF). An expert's
// number stands last: "blk.3.ffn_gate.5". Where families of one dialect disagree there are several names, the
// rarest first: a file has one of them.
std::vector<std::string> published_names(files::Dialect dialect, std::string_view prefix,
                                         std::string_view canonical, std::string_view suffix);
// The name that the checkpoint has, or the last of them (the common one) where it has none.
std::string published_name(const files::Checkpoint& checkpoint, std::string_view prefix,
                           std::string_view canonical, std::string_view suffix);

// What files put before the names of the text model: Hugging Face "model.", "language_model.model.",
// "model.language_model.", "backbone." or nothing, encoders "embeddings." after that; Mistral folders nothing
// or "model.backbone.".
std::string text_prefix(const files::Checkpoint& checkpoint);

// 3 of "model.layers.3.mlp.gate.weight" and "blk.3.attn_q.weight"; -1 where a name has no layer.
int layer_number(std::string_view published);

}  // namespace maestrale::nn
