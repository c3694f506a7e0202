#include "models/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "nn/names.h"

namespace maestrale::models {
namespace {

using files::Dialect;

// Parts of key names that tell of mathematics; anything else in a config.json is about training or serving.
constexpr std::array<std::string_view, 18> kMathematical = {
    "rope",   "scal", "norm",      "act",   "bias",  "window",  "softcap", "cap",         "moe",
    "expert", "attn", "attention", "quant", "logit", "multipl", "head",    "layer_types", "partial"};
// Settings that match the list above and still change nothing here.
constexpr std::array<std::string_view, 24> kHarmless = {"architectures",
                                                        "attention_dropout",
                                                        "attn_implementation",
                                                        "_attn_implementation",
                                                        "max_window_layers",
                                                        "use_cache",
                                                        "classifier_activation",
                                                        "attn_pdrop",
                                                        "embd_pdrop",
                                                        "hidden_dropout",
                                                        "pretraining_tp",
                                                        "output_attentions",
                                                        "output_router_logits",
                                                        "router_aux_loss_coef",
                                                        "num_logits_to_keep",
                                                        "use_scan_mlp",
                                                        "scan_mlp_chunk_size",
                                                        "head_dim",
                                                        "num_attention_heads",
                                                        "num_key_value_heads",
                                                        "problem_type",
                                                        "_attn_implementation_autoset",
                                                        "rms_norm_eps",
                                                        "transformers_version"};

bool contains(std::span<const std::string_view> list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

}  // namespace

Result<ConfigReader> ConfigReader::open(const files::Checkpoint& checkpoint) {
  ConfigReader reader;
  reader.checkpoint_ = &checkpoint;
  reader.object_ = &checkpoint.metadata;
  reader.where_ = checkpoint.path.string();
  if (checkpoint.dialect == Dialect::kGguf) {
    reader.prefix_ = TRY(reader.fields().string("general.architecture")) + ".";
  } else if (checkpoint.dialect == Dialect::kHuggingFace && reader.fields().has("text_config")) {
    reader.object_ = TRY(reader.fields().object("text_config"));
    reader.where_ += " (text_config)";
  }
  return reader;
}

void ConfigReader::set_defaults(const json::object& defaults) {
  auto completed = std::make_unique<json::object>(*object_);
  for (const auto& [key, value] : defaults) completed->emplace(key, value);
  completed_ = std::move(completed);
  object_ = completed_.get();
}

std::string ConfigReader::name(const Key& key) const {
  switch (checkpoint_->dialect) {
    case Dialect::kGguf:
      return key.gguf.empty() ? std::string() : gguf_key(key.gguf);
    case Dialect::kHuggingFace:
      return std::string(key.hugging_face);
    case Dialect::kMistral:
      return std::string(key.mistral);
    case Dialect::kLlama2c:
      return std::string(key.llama2c);
  }
  return {};
}

ConfigReader::Place ConfigReader::place(const Key& key) const {
  const std::string known = name(key);
  const std::size_t dot = known.find('.');
  if (dialect() == Dialect::kMistral && dot != known.npos) {
    const json::value* inner = fields().find(known.substr(0, dot));
    if (inner != nullptr && inner->is_object()) {
      return {{inner->get_object(), where_ + " " + known.substr(0, dot)}, known.substr(dot + 1)};
    }
  }
  return {fields(), known};
}

bool ConfigReader::has(const Key& key) const { return find(key) != nullptr; }

const json::value* ConfigReader::find(const Key& key) const {
  const Place at = place(key);
  return !at.name.empty() && at.fields.has(at.name) ? at.fields.find(at.name) : nullptr;
}

Result<std::int64_t> ConfigReader::size(const Key& key) const {
  const Place at = place(key);
  const std::int64_t value = TRY(at.fields.integer(at.name));
  if (value >= 1 && value <= std::numeric_limits<std::int32_t>::max()) return value;
  return Error{.what = "field '" + name(key) + "' is out of range",
               .where = where_,
               .expected = "1 … 2147483647",
               .found = std::to_string(value)};
}

Result<std::int64_t> ConfigReader::integer_or(const Key& key, std::int64_t fallback) const {
  const Place at = place(key);
  return at.name.empty() ? Result<std::int64_t>(fallback) : at.fields.integer_or(at.name, fallback);
}

Result<double> ConfigReader::number_or(const Key& key, double fallback) const {
  const Place at = place(key);
  return at.name.empty() ? Result<double>(fallback) : at.fields.number_or(at.name, fallback);
}

Result<std::int64_t> ConfigReader::size_or(const Key& key, std::int64_t fallback) const {
  return has(key) ? size(key) : Result<std::int64_t>(fallback);
}

Result<double> ConfigReader::positive(const Key& key) const {
  const Place at = place(key);
  const double value = TRY(at.fields.number(at.name));
  if (value > 0 && value <= static_cast<double>(std::numeric_limits<float>::max())) return value;
  return Error{.what = "field '" + name(key) + "' is out of range",
               .where = where_,
               .expected = "a positive number that f32 can hold",
               .found = std::to_string(value)};
}

Result<double> ConfigReader::positive_or(const Key& key, double fallback) const {
  return has(key) ? positive(key) : Result<double>(fallback);
}

Result<std::int64_t> ConfigReader::vocabulary() const {
  const std::string embedding =
      nn::published_name(*checkpoint_, nn::text_prefix(*checkpoint_), "token_embd", "weight");
  const TensorView* table = checkpoint_->find(embedding);
  if (table == nullptr || table->shape.size() != 2) {
    return Error{.what = "the embedding table '" + embedding + "' is missing", .where = where_};
  }
  const std::int64_t rows = table->shape[0];
  const std::int64_t stated = TRY(size_or(keys::kVocabulary, rows));
  if (stated == rows) return rows;
  return Error{.what = "the vocabulary and the embedding table do not agree",
               .where = where_,
               .expected = std::to_string(stated) + " rows",
               .found = std::to_string(rows)};
}

bool ConfigReader::tied_head() const {
  return checkpoint_->find(
             nn::published_name(*checkpoint_, nn::text_prefix(*checkpoint_), "output", "weight")) == nullptr;
}

Status ConfigReader::refuse_unknown(std::span<const std::string_view> understood) const {
  if (dialect() != Dialect::kHuggingFace && dialect() != Dialect::kMistral) return {};
  for (const auto& [key, value] : *object_) {
    const std::string_view word(key.data(), key.size());
    if (value.is_null() || contains(understood, word) || contains(kHarmless, word)) continue;
    const bool mathematical =
        std::any_of(kMathematical.begin(), kMathematical.end(),
                    [&](std::string_view part) { return word.find(part) != std::string_view::npos; });
    if (!mathematical || (value.is_bool() && !value.get_bool())) continue;
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "setting '" + std::string(word) + "' is not understood for this architecture",
                 .where = where_,
                 .hint = "it could change the results, so the model is refused rather than run wrongly"};
  }
  return {};
}

Status ConfigReader::require_string(std::string_view key, std::string_view expected) const {
  if (dialect() != Dialect::kHuggingFace || !fields().has(key)) return {};
  const std::string found = TRY(fields().string(key));
  if (found == expected) return {};
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "setting '" + std::string(key) + "' is not supported",
               .where = where_,
               .expected = std::string(expected),
               .found = found};
}

Status ConfigReader::require_false(std::string_view key) const {
  if (dialect() != Dialect::kHuggingFace || !TRY(fields().boolean_or(key, false))) return {};
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "setting '" + std::string(key) + "' is not supported",
               .where = where_,
               .expected = "false",
               .found = "true"};
}

}  // namespace maestrale::models
