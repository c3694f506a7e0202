#include "nn/names.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <span>
#include <utility>

#include "files/name_table.h"

namespace maestrale::nn {
namespace {

using files::Dialect;
using files::NameRow;

constexpr std::string_view kGrok1Prefix = "transformer.";

// Encoders of BERT's kin in Hugging Face files, with all that stands after the text model's prefix; '@' is
// the number of the layer. Embeddings mark their prefix: kEncoderMark stands at the end of what text_prefix()
// says.
constexpr std::string_view kEncoderMark = "embeddings.";
constexpr std::array kEncoder = {
    NameRow{"token_embd", "embeddings.word_embeddings", ""},
    NameRow{"token_types", "embeddings.token_type_embeddings", ""},
    NameRow{"position_embd", "embeddings.position_embeddings", ""},
    NameRow{"token_embd_norm", "emb_ln|embeddings.LayerNorm", ""},
    NameRow{"attn_qkv", "encoder.layers.@.attn.Wqkv", ""},
    NameRow{"attn_q", "encoder.layer.@.attention.self.query", ""},
    NameRow{"attn_k", "encoder.layer.@.attention.self.key", ""},
    NameRow{"attn_v", "encoder.layer.@.attention.self.value", ""},
    NameRow{"attn_output", "encoder.layers.@.attn.out_proj|encoder.layer.@.attention.output.dense", ""},
    NameRow{"attn_output_norm", "encoder.layers.@.norm1|encoder.layer.@.attention.output.LayerNorm", ""},
    NameRow{"ffn_gate_up", "encoder.layer.@.mlp.gated_layers", ""},
    NameRow{"ffn_gate", "encoder.layers.@.mlp.fc12", ""},
    NameRow{"ffn_up", "encoder.layers.@.mlp.fc11|encoder.layer.@.intermediate.dense", ""},
    NameRow{"ffn_down", "encoder.layers.@.mlp.fc2|encoder.layer.@.mlp.wo|encoder.layer.@.output.dense", ""},
    NameRow{"layer_output_norm",
            "encoder.layers.@.norm2|encoder.layer.@.mlp.layernorm|encoder.layer.@.output.LayerNorm", ""},
    NameRow{"cls", "pooler.dense", ""},
};

// What GGUF writers call some tensors of some families, besides their canonical names.
constexpr std::array kGgufAliases = {
    std::pair{"ffn_norm", "post_attention_norm"},          // gpt-oss
    std::pair{"post_attention_norm", "attn_output_norm"},  // Grok
    std::pair{"post_ffw_norm", "layer_output_norm"},       // Grok-1
};

std::string_view column(const NameRow& row, Dialect dialect) {
  return dialect == Dialect::kHuggingFace ? row.hugging_face : row.mistral;
}

// "ffn_gate.5" -> "ffn_gate.#", "5".
std::string cut_expert(std::string& local) {
  const std::size_t dot = local.rfind('.');
  if (dot == local.npos || local.find_first_not_of("0123456789", dot + 1) != local.npos) return {};
  std::string expert = local.substr(dot + 1);
  local.replace(dot + 1, local.npos, "#");
  return expert;
}

// The names of `local` (with its tail), each with what belongs before and after it.
std::vector<std::string> spell(std::span<const NameRow> table, Dialect dialect, const std::string& start,
                               std::string local, std::string tail) {
  const std::string expert = cut_expert(local);
  std::string_view names = local;
  for (const NameRow& row : table) {
    if (row.canonical != local && row.canonical != local + tail) continue;
    if (row.canonical != local) tail.clear();
    names = column(row, dialect);
    break;
  }
  std::vector<std::string> spelled;
  for (std::size_t begin = 0; begin <= names.size();) {
    const std::size_t end = std::min(names.find('|', begin), names.size());
    std::string name = start + std::string(names.substr(begin, end - begin)) + tail;
    if (const std::size_t mark = name.find('#'); mark != name.npos) name.replace(mark, 1, expert);
    spelled.push_back(std::move(name));
    begin = end + 1;
  }
  return spelled;
}

constexpr std::string_view kBlock = "blk.";

// `marked` ends in kEncoderMark. The head of a pair scorer stands beside the text model.
std::vector<std::string> encoder_names(std::string_view marked, std::string_view canonical,
                                       const std::string& tail) {
  if (canonical == "cls.output") return {"classifier.out_proj" + tail, "classifier" + tail};
  const std::string prefix(marked.substr(0, marked.size() - kEncoderMark.size()));
  std::string number, local(canonical);
  if (canonical.starts_with(kBlock)) {
    const std::size_t dot = canonical.find('.', kBlock.size());
    number = canonical.substr(kBlock.size(), dot - kBlock.size());
    local = canonical.substr(dot + 1);
  }
  std::vector<std::string> names = spell(kEncoder, Dialect::kHuggingFace, prefix, local, tail);
  for (std::string& name : names) {
    if (const std::size_t mark = name.find('@'); mark != name.npos) name.replace(mark, 1, number);
  }
  if (canonical == "cls") names.insert(names.begin(), "classifier.dense" + tail);
  return names;
}

std::vector<std::string> gguf_names(const std::string& canonical, const std::string& tail) {
  std::vector<std::string> names = {canonical + tail};
  for (const auto& [local, alias] : kGgufAliases) {
    const std::string end = std::string(".") + local;
    if (!canonical.ends_with(end)) continue;
    names.push_back(canonical.substr(0, canonical.size() - end.size() + 1) + alias + tail);
  }
  return names;
}

// What stands before the head's name: lm_head is beside the text model, not in it.
std::string head_prefix(std::string_view prefix) {
  for (const std::string_view inner : {"model.", "backbone."}) {
    const std::string_view outer = prefix.substr(0, prefix.size() - std::min(prefix.size(), inner.size()));
    if (prefix.ends_with(inner) && (outer == "language_model." || outer == "model."))
      return std::string(outer);
  }
  return {};
}

}  // namespace

std::vector<std::string> published_names(Dialect dialect, std::string_view prefix, std::string_view canonical,
                                         std::string_view suffix) {
  const std::string tail = suffix.empty() ? std::string() : "." + std::string(suffix);
  if (dialect == Dialect::kGguf) return gguf_names(std::string(canonical), tail);
  if (dialect == Dialect::kHuggingFace && prefix.ends_with(kEncoderMark))
    return encoder_names(prefix, canonical, tail);
  if (canonical == "output") {
    const bool native = dialect != Dialect::kHuggingFace && prefix.empty();
    return {native ? "output" + tail : head_prefix(prefix) + "lm_head" + tail};
  }
  if (!canonical.starts_with(kBlock)) {
    return spell(files::kModelNames, dialect, std::string(prefix), std::string(canonical), tail);
  }
  const std::size_t dot = canonical.find('.', kBlock.size());
  const std::string number(canonical.substr(kBlock.size(), dot - kBlock.size()));
  const char* layers = prefix == kGrok1Prefix ? "decoder_layer." : "layers.";
  return spell(files::kLayerNames, dialect, std::string(prefix) + layers + number + ".",
               std::string(canonical.substr(dot + 1)), tail);
}

std::string published_name(const files::Checkpoint& checkpoint, std::string_view prefix,
                           std::string_view canonical, std::string_view suffix) {
  std::vector<std::string> names = published_names(checkpoint.dialect, prefix, canonical, suffix);
  for (std::string& name : names) {
    if (checkpoint.find(name) != nullptr) return std::move(name);
  }
  return std::move(checkpoint.dialect == Dialect::kGguf ? names.front() : names.back());
}

std::string text_prefix(const files::Checkpoint& checkpoint) {
  const auto first_of = [&checkpoint](std::initializer_list<std::string_view> prefixes,
                                      const char* embedding) {
    const auto* found = std::find_if(prefixes.begin(), prefixes.end(), [&](std::string_view prefix) {
      return checkpoint.find(std::string(prefix) + embedding) != nullptr;
    });
    return found == prefixes.end() ? std::string() : std::string(*found);
  };
  if (checkpoint.dialect != Dialect::kHuggingFace) return first_of({"model.backbone."}, "embedding.weight");
  if (checkpoint.find("backbone.embeddings.weight") != nullptr) return "backbone.";
  if (checkpoint.find("transformer.in_out_embed.weight") != nullptr) return std::string(kGrok1Prefix);
  if (checkpoint.find("embed_tokens.weight") != nullptr) return "";
  for (const std::string_view encoder : {"", "bert.", "roberta."}) {
    const std::string marked = std::string(encoder) + std::string(kEncoderMark);
    if (checkpoint.find(marked + "word_embeddings.weight") != nullptr) return marked;
  }
  const std::string prefix =
      first_of({"model.", "language_model.model.", "model.language_model."}, "embed_tokens.weight");
  return prefix.empty() ? "model." : prefix;
}

int layer_number(std::string_view published) {
  for (const std::string_view word : {"layers.", "blk."}) {
    const std::size_t at = published.find(word);
    if (at == published.npos || (at > 0 && published[at - 1] != '.')) continue;
    int number = -1;
    const char* end = published.data() + published.size();
    if (std::from_chars(published.data() + at + word.size(), end, number).ec == std::errc()) return number;
  }
  return -1;
}

}  // namespace maestrale::nn
