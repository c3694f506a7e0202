// BERT and RoBERTa: learned positions, token types, gelu; the form of bge, e5, all-MiniLM and of
// cross-encoders. Sources: arXiv 1810.04805, 1907.11692; transformers' BertModel and XLMRobertaModel.
#include <array>

#include "models/encoder.h"
#include "nn/names.h"

namespace maestrale::models {
namespace {

using files::Dialect;

constexpr std::array<std::string_view, 7> kUnderstood = {"hidden_act",
                                                         "position_embedding_type",
                                                         "layer_norm_eps",
                                                         "attention_probs_dropout_prob",
                                                         "sbert_ce_default_activation_function",
                                                         "is_decoder",
                                                         "summary_activation"};

Result<ops::Activation> activation_of(const ConfigReader& config) {
  if (config.dialect() != Dialect::kHuggingFace || !config.fields().has("hidden_act"))
    return ops::Activation::kGelu;
  const std::string name = TRY(config.fields().string("hidden_act"));
  if (name == "gelu") return ops::Activation::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return ops::Activation::kGeluTanh;
  TRY(config.require_string("hidden_act", "gelu, gelu_new or gelu_pytorch_tanh"));
  return ops::Activation::kGelu;
}

// RoBERTa counts positions from the padding token's id on; GGUF files have cut those rows off.
Result<std::int64_t> first_position(const ConfigReader& config) {
  if (config.dialect() != Dialect::kHuggingFace) return std::int64_t{0};
  const std::string architecture = TRY(published_architecture(config.checkpoint()));
  if (architecture.find("oberta") == architecture.npos) return std::int64_t{0};
  return TRY(config.integer_or({{}, "pad_token_id", {}}, 1)) + 1;
}

Result<EncoderSpec> read(const files::Checkpoint& checkpoint) {
  const ConfigReader config = TRY(ConfigReader::open(checkpoint));
  TRY(config.require_string("position_embedding_type", "absolute"));
  TRY(config.require_false("is_decoder"));
  TRY(config.refuse_unknown(kUnderstood));
  EncoderSpec spec = TRY(read_encoder(config, "bert", {}));
  spec.encoder.activation = TRY(activation_of(config));
  spec.encoder.first_position = TRY(first_position(config));
  const TensorView* table =
      checkpoint.find(nn::published_name(checkpoint, nn::text_prefix(checkpoint), "position_embd", "weight"));
  if (table == nullptr || table->shape.size() != 2 || table->rows() <= spec.encoder.first_position) {
    return Error{.what = "the table of positions is missing", .where = checkpoint.path.string()};
  }
  spec.encoder.positions = table->rows();
  spec.info.max_context = table->rows() - spec.encoder.first_position;
  describe(spec);
  return spec;
}

}  // namespace

const ModelEntry& bert_entry() {
  static const ModelEntry entry = encoder_entry<read>("bert");
  return entry;
}

}  // namespace maestrale::models
