#include "files/tensor_names.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

#include "files/name_table.h"

namespace maestrale::files {
namespace {

constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kBlock = "blk.";
constexpr NameRow kHead{"output", "lm_head", "output"};

// Which column of the tables a dialect reads.
std::string_view column(const NameRow& row, Dialect dialect) {
  if (dialect == Dialect::kGguf) return row.canonical;
  return dialect == Dialect::kHuggingFace ? row.hugging_face : row.mistral;
}

// What stands before a layer's number.
std::span<const std::string_view> layer_prefixes(Dialect dialect) {
  static constexpr std::array<std::string_view, 1> kGguf = {kBlock};
  static constexpr std::array<std::string_view, 2> kHuggingFace = {"model.layers.", "decoder_layer."};
  static constexpr std::array<std::string_view, 1> kMistral = {"layers."};
  if (dialect == Dialect::kGguf) return kGguf;
  return dialect == Dialect::kHuggingFace ? std::span<const std::string_view>(kHuggingFace) : kMistral;
}

// A text model inside a larger one carries a prefix of its own.
std::string strip_wrapper(Dialect dialect, std::string_view name) {
  if (dialect != Dialect::kHuggingFace) return std::string(name);
  for (const std::string_view wrapper : {"model.language_model.", "language_model.model."}) {
    if (name.starts_with(wrapper)) return "model." + std::string(name.substr(wrapper.size()));
  }
  for (const std::string_view wrapper : {"language_model.", "transformer."}) {
    if (name.starts_with(wrapper)) return std::string(name.substr(wrapper.size()));
  }
  return std::string(name);
}

// "a.b.weight" -> {"a.b", ".weight"}, for the suffixes that these models have; without one the suffix is
// empty.
std::pair<std::string_view, std::string_view> split_suffix(std::string_view name) {
  for (const std::string_view suffix : {".weight.scale", ".weight", ".bias"}) {
    if (name.ends_with(suffix)) return {name.substr(0, name.size() - suffix.size()), suffix};
  }
  return {name, {}};
}

// "mlp.experts.5.gate_proj" -> "mlp.experts.#.gate_proj", "5".
std::string cut_expert(std::string& local) {
  for (std::size_t begin = 0; begin < local.size();) {
    const std::size_t end = std::min(local.find('.', begin), local.size());
    const std::string part = local.substr(begin, end - begin);
    if (!part.empty() && part.find_first_not_of(kDigits) == part.npos) {
      local.replace(begin, part.size(), "#");
      return part;
    }
    begin = end + 1;
  }
  return {};
}

// Is `stem` one of the names in a column ("a|b|c")?
bool lists(std::string_view names, std::string_view stem) {
  for (std::size_t begin = 0; begin <= names.size();) {
    const std::size_t end = std::min(names.find('|', begin), names.size());
    if (!stem.empty() && names.substr(begin, end - begin) == stem) return true;
    begin = end + 1;
  }
  return false;
}

std::string_view common_name(std::string_view names) {
  const std::size_t bar = names.rfind('|');
  return bar == names.npos ? names : names.substr(bar + 1);
}

// `whole` in the other dialect's words. Rows with their suffix inside come first; of two rows with the same
// name the later one counts.
std::optional<std::string> look_up(std::span<const NameRow> table, std::string whole, Dialect from,
                                   Dialect to) {
  const std::string expert = cut_expert(whole);
  const auto [stem, suffix] = split_suffix(whole);
  for (const bool with_suffix : {true, false}) {
    const std::string_view wanted = with_suffix ? std::string_view(whole) : stem;
    for (auto row = table.rbegin(); row != table.rend(); ++row) {
      if (!lists(column(*row, from), wanted) || column(*row, to).empty()) continue;
      const bool whole_row = split_suffix(row->canonical).second.size() > 0;
      if (whole_row != with_suffix || (!with_suffix && suffix.empty())) continue;
      std::string name(common_name(column(*row, to)));
      if (const std::size_t mark = name.find('#'); mark != name.npos) name.replace(mark, 1, expert);
      return with_suffix ? name : name + std::string(suffix);
    }
  }
  return std::nullopt;
}

struct LayerName {
  std::string_view number, local;
};

std::optional<LayerName> split_layer(Dialect dialect, std::string_view name) {
  for (const std::string_view prefix : layer_prefixes(dialect)) {
    if (!name.starts_with(prefix)) continue;
    const std::size_t dot = name.find('.', prefix.size());
    if (dot == name.npos) return std::nullopt;
    const std::string_view number = name.substr(prefix.size(), dot - prefix.size());
    if (number.empty() || number.find_first_not_of(kDigits) != number.npos) return std::nullopt;
    return LayerName{number, name.substr(dot + 1)};
  }
  return std::nullopt;
}

std::optional<std::string> translate_outer(std::string_view name, Dialect from, Dialect to) {
  const std::string_view inside = "model.";
  const bool hugging_face = from == Dialect::kHuggingFace;
  std::string local(name.substr(hugging_face && name.starts_with(inside) ? inside.size() : 0));
  if (const auto head = look_up(std::span(&kHead, 1), local, from, to)) return head;
  const auto outer = look_up(kModelNames, std::move(local), from, to);
  return outer && to == Dialect::kHuggingFace ? std::optional("model." + *outer) : outer;
}

std::optional<std::string> translate(std::string_view name, Dialect from, Dialect to) {
  const auto layer = split_layer(from, name);
  if (!layer) return translate_outer(name, from, to);
  const auto inner = look_up(kLayerNames, std::string(layer->local), from, to);
  if (!inner) return std::nullopt;
  return std::string(layer_prefixes(to).front()) + std::string(layer->number) + "." + *inner;
}

int number_in(std::string_view digits) {
  int number = -1;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

}  // namespace

std::optional<std::string> canonical_tensor_name(Dialect dialect, std::string_view published) {
  return translate(strip_wrapper(dialect, published), dialect, Dialect::kGguf);
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

bool is_companion_of_matrix(std::string_view published) {
  const auto ends = [published](std::string_view suffix) { return published.ends_with(suffix); };
  return ends(".weight.scale") || std::any_of(kScaleSuffixes.begin(), kScaleSuffixes.end(), ends) ||
         std::any_of(kIgnoredSuffixes.begin(), kIgnoredSuffixes.end(), ends);
}

int layer_of(std::string_view canonical) {
  return canonical.starts_with(kBlock) ? number_in(canonical.substr(kBlock.size())) : -1;
}

int published_layer(Dialect dialect, std::string_view published) {
  const std::string name = strip_wrapper(dialect, published);
  const auto layer = split_layer(dialect, name);
  return layer ? number_in(layer->number) : -1;
}

}  // namespace maestrale::files
