#include "files/tensor_names.h"

#include <array>
#include <charconv>

namespace maestrale::files {
namespace {

struct NameRow {
  std::string_view canonical, hugging_face, mistral;
};

constexpr std::array kOuter = {
    NameRow{"token_embd", "model.embed_tokens", "tok_embeddings"},
    NameRow{"output_norm", "model.norm", "norm"},
    NameRow{"output", "lm_head", "output"},
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

// Which column of the tables a dialect reads.
std::string_view column(const NameRow& row, Dialect dialect) {
  if (dialect == Dialect::kGguf) return row.canonical;
  return dialect == Dialect::kHuggingFace ? row.hugging_face : row.mistral;
}

std::string_view layer_prefix(Dialect dialect) {
  if (dialect == Dialect::kGguf) return "blk.";
  return dialect == Dialect::kHuggingFace ? "model.layers." : "layers.";
}

// A text model inside a larger one carries a prefix of its own.
std::string strip_wrapper(std::string_view name) {
  for (const std::string_view wrapper : {"model.language_model.", "language_model.model."}) {
    if (name.starts_with(wrapper)) return "model." + std::string(name.substr(wrapper.size()));
  }
  constexpr std::string_view kHead = "language_model.";
  if (name.starts_with(kHead)) return std::string(name.substr(kHead.size()));
  return std::string(name);
}

// "a.b.weight" -> {"a.b", "weight"}, for the suffixes that these models have.
std::optional<std::pair<std::string_view, std::string_view>> split_suffix(std::string_view name) {
  for (const std::string_view suffix : {".weight.scale", ".weight", ".bias"}) {
    if (name.ends_with(suffix)) return std::pair(name.substr(0, name.size() - suffix.size()), suffix);
  }
  return std::nullopt;
}

template <std::size_t N>
std::optional<std::string> look_up(const std::array<NameRow, N>& table, std::string_view stem, Dialect from,
                                   Dialect to) {
  for (const NameRow& row : table) {
    if (column(row, from) == stem) return std::string(column(row, to));
  }
  return std::nullopt;
}

std::optional<std::string> translate(std::string_view name, Dialect from, Dialect to) {
  const auto parts = split_suffix(name);
  if (!parts) return std::nullopt;
  const auto [stem, suffix] = *parts;
  const std::string_view prefix = layer_prefix(from);
  if (!stem.starts_with(prefix)) {
    const auto outer = look_up(kOuter, stem, from, to);
    return outer ? std::optional(*outer + std::string(suffix)) : std::nullopt;
  }
  const std::size_t dot = stem.find('.', prefix.size());
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view number = stem.substr(prefix.size(), dot - prefix.size());
  if (number.empty() || number.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  const auto inner = look_up(kLayer, stem.substr(dot + 1), from, to);
  if (!inner) return std::nullopt;
  return std::string(layer_prefix(to)) + std::string(number) + "." + *inner + std::string(suffix);
}

}  // namespace

std::optional<std::string> canonical_tensor_name(Dialect dialect, std::string_view published) {
  if (dialect == Dialect::kHuggingFace) return translate(strip_wrapper(published), dialect, Dialect::kGguf);
  return translate(published, dialect, Dialect::kGguf);
}

std::optional<std::string> published_tensor_name(Dialect dialect, std::string_view canonical) {
  return translate(canonical, Dialect::kGguf, dialect);
}

bool is_beside_text_model(std::string_view published) {
  for (const std::string_view part :
       {"vision_tower.", "vision_model.", "multi_modal_projector.", "vision_encoder.",
        "vision_language_adapter.", "patch_merger.", "pre_mm_projector_norm.", "audio_tower."}) {
    if (published.starts_with(part) || published.starts_with("model." + std::string(part))) return true;
  }
  return published.ends_with(".rotary_emb.inv_freq") || published.ends_with(".attn_rot_embd") ||
         published.ends_with(".attention.inner_attention.rope.freqs") || published == "rope.freqs";
}

int layer_of(std::string_view canonical) {
  constexpr std::string_view kBlock = "blk.";
  if (!canonical.starts_with(kBlock)) return -1;
  int layer = -1;
  std::from_chars(canonical.data() + kBlock.size(), canonical.data() + canonical.size(), layer);
  return layer;
}

}  // namespace maestrale::files
