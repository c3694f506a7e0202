#include "nn/names.h"

#include <array>
#include <optional>

namespace maestrale::nn {
namespace {

using files::Dialect;

struct NameRow {
  std::string_view canonical, hugging_face, mistral;
};

constexpr std::array kGlobal = {
    NameRow{"token_embd", "embed_tokens", "tok_embeddings"},
    NameRow{"output_norm", "norm", "norm"},
};
constexpr std::array kLayer = {
    NameRow{"attn_norm", "input_layernorm", "attention_norm"},
    NameRow{"attn_q", "self_attn.q_proj", "attention.wq"},
    NameRow{"attn_k", "self_attn.k_proj", "attention.wk"},
    NameRow{"attn_v", "self_attn.v_proj", "attention.wv"},
    NameRow{"attn_output", "self_attn.o_proj", "attention.wo"},
    NameRow{"attn_q_norm", "self_attn.q_norm", "attention.q_norm"},
    NameRow{"attn_k_norm", "self_attn.k_norm", "attention.k_norm"},
    NameRow{"ffn_norm", "post_attention_layernorm", "ffn_norm"},
    NameRow{"ffn_gate", "mlp.gate_proj", "feed_forward.w1"},
    NameRow{"ffn_down", "mlp.down_proj", "feed_forward.w2"},
    NameRow{"ffn_up", "mlp.up_proj", "feed_forward.w3"},
};

template <std::size_t N>
std::string_view translate(const std::array<NameRow, N>& table, Dialect dialect, std::string_view canonical) {
  for (const NameRow& row : table) {
    if (row.canonical == canonical) return dialect == Dialect::kHuggingFace ? row.hugging_face : row.mistral;
  }
  return canonical;
}

// The part of an HF text prefix before "model.": lm_head stands beside the model, not in it.
std::string head_prefix(std::string_view prefix) {
  constexpr std::string_view kInner = "language_model.model.";
  return prefix.ends_with(kInner) ? std::string(prefix.substr(0, prefix.size() - 6)) : std::string();
}

}  // namespace

std::string published_name(Dialect dialect, std::string_view prefix, std::string_view canonical,
                           std::string_view suffix) {
  const std::string tail = "." + std::string(suffix);
  if (dialect == Dialect::kGguf) return std::string(canonical) + tail;
  const bool hugging_face = dialect == Dialect::kHuggingFace;
  if (canonical == "output") return hugging_face ? head_prefix(prefix) + "lm_head" + tail : "output" + tail;
  const std::string start = hugging_face ? std::string(prefix) : std::string();
  constexpr std::string_view kBlock = "blk.";
  if (!canonical.starts_with(kBlock)) return start + std::string(translate(kGlobal, dialect, canonical)) + tail;
  const std::size_t dot = canonical.find('.', kBlock.size());
  const std::string layer(canonical.substr(kBlock.size(), dot - kBlock.size()));
  return start + "layers." + layer + "." + std::string(translate(kLayer, dialect, canonical.substr(dot + 1))) + tail;
}

std::string text_prefix(const files::Checkpoint& checkpoint) {
  for (const char* prefix : {"model.", "language_model.model.", "model.language_model.", ""}) {
    if (checkpoint.find(std::string(prefix) + "embed_tokens.weight") != nullptr) return prefix;
  }
  return "model.";
}

bool is_outside_text_model(std::string_view name) {
  for (const std::string_view part :
       {"vision_tower.", "vision_model.", "multi_modal_projector.", "vision_encoder.", "vision_language_adapter.",
        "patch_merger.", "pre_mm_projector_norm.", "audio_tower."}) {
    if (name.starts_with(part) || name.starts_with("model." + std::string(part))) return true;
  }
  return name.ends_with(".rotary_emb.inv_freq") || name.ends_with(".attn_rot_embd") ||
         name.ends_with(".attention.inner_attention.rope.freqs") || name == "rope.freqs";
}

}  // namespace maestrale::nn
