#include "files/convert_plan.h"

#include <algorithm>
#include <optional>

#include "files/tensor_names.h"

namespace maestrale::files {
namespace {

// Chooses the target's types.
class Typist {
 public:
  static Result<Typist> create(const ConvertOptions& options, MixContext context) {
    Typist typist;
    typist.container_ = options.container;
    typist.context_ = context;
    typist.context_.has_importance = options.importance != nullptr;
    if (options.type.empty()) return typist;
    typist.mix_ = TRY(quant_mix(options.type));
    const bool of_blocks = traits(typist.mix_->base).block_elements != 1;
    if (!of_blocks || options.container == Container::kGguf) return typist;
    return Error{.kind = ErrorKind::kUsage,
                 .what = "safetensors files are written as f32, f16 or bf16 only",
                 .found = options.type,
                 .hint = "convert to GGUF for a quantised model"};
  }

  DType type_for(std::string_view canonical, const TensorView& source) const {
    const bool matrix = is_quantised_by_mix(canonical, source.shape.size());
    const bool to_gguf = container_ == Container::kGguf;
    if (!mix_) return kept_type(source, to_gguf);
    if (matrix) return mix_type(*mix_, canonical, source.columns(), context_);
    if (to_gguf) return traits(source.dtype).dequantise != nullptr ? DType::kF32 : source.dtype;
    return traits(source.dtype).dequantise != nullptr ? mix_->base : source.dtype;
  }

 private:
  // Vectors are f32 in GGUF; what the container does not know goes to the narrowest type that loses nothing
  // or, for blocks in safetensors, to bf16.
  static DType kept_type(const TensorView& source, bool to_gguf) {
    if (source.dtype == DType::kI8) return DType::kF32;  // llama2.c's groups
    if (to_gguf) {
      const bool vector = source.shape.size() < 2 && traits(source.dtype).dequantise != nullptr;
      return vector || source.dtype == DType::kF8E4M3 ? DType::kF32 : source.dtype;
    }
    return traits(source.dtype).block_elements == 1 ? source.dtype : DType::kBF16;
  }

  Container container_ = Container::kGguf;
  std::optional<QuantMix> mix_;
  MixContext context_;
};

const float* importance_of(const ConvertOptions& options, const std::string& canonical,
                           const TensorView& tensor) {
  if (options.importance == nullptr) return nullptr;
  const auto found = options.importance->find(canonical);
  const bool fits = found != options.importance->end() &&
                    found->second.size() == static_cast<std::size_t>(tensor.columns());
  return fits ? found->second.data() : nullptr;
}

std::int64_t key_value(const json::object& metadata, const std::string& key, std::int64_t fallback) {
  const json::value* value = metadata.if_contains(key);
  if (value == nullptr) return fallback;
  if (value->is_int64()) return value->get_int64();
  return value->is_uint64() ? static_cast<std::int64_t>(value->get_uint64()) : fallback;
}

// For files whose architecture conversion does not know: the facts that the mixes look at, as far as they are
// there.
MixContext context_of(const Checkpoint& source) {
  MixContext context;
  for (const TensorView& tensor : source.tensors) {
    const auto canonical = canonical_tensor_name(source.dialect, tensor.name);
    context.layers = std::max(context.layers, layer_of(canonical.value_or(tensor.name)) + 1);
  }
  const json::value* name = source.metadata.if_contains("general.architecture");
  if (name == nullptr || !name->is_string()) return context;
  const std::string prefix = std::string(name->get_string()) + ".";
  const std::int64_t heads = key_value(source.metadata, prefix + "attention.head_count", 1);
  const std::int64_t kv_heads = key_value(source.metadata, prefix + "attention.head_count_kv", heads);
  context.queries_per_key = kv_heads > 0 && heads < 65536 ? static_cast<int>(heads / kv_heads) : 1;
  const std::int64_t experts = key_value(source.metadata, prefix + "expert_count", 0);
  context.experts = experts > 0 && experts < 65536 ? static_cast<int>(experts) : 0;
  context.has_output = source.find("output.weight") != nullptr;
  return context;
}

Status refuse_scaled_float8(const Checkpoint& source) {
  for (const TensorView& tensor : source.tensors) {
    if (tensor.dtype != DType::kF8E4M3) continue;
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "conversion of FP8 checkpoints is not supported: their scales would be lost",
                 .where = source.path.string() + ", tensor '" + tensor.name + "'",
                 .hint = "start from the bf16 release"};
  }
  return {};
}

RowOrder order_for(const Checkpoint& source, const ModelFacts& facts, Container target,
                   std::string_view canonical) {
  const bool of_query_or_key = canonical.find(".attn_q.") != std::string_view::npos ||
                               canonical.find(".attn_k.") != std::string_view::npos;
  if (!of_query_or_key || !facts.interleaves_in_gguf()) return RowOrder::kKeep;
  const bool from_halves = source.dialect == Dialect::kHuggingFace;
  const bool to_halves = target == Container::kSafetensors;
  if (from_halves == to_halves) return RowOrder::kKeep;
  return from_halves ? RowOrder::kHalvesToPairs : RowOrder::kPairsToHalves;
}

// The first extent of the tensors that decide on everything, so that a wrong file is refused before it is
// written.
Status check_shape(const TensorView& tensor, const ModelFacts& facts, std::string_view canonical) {
  std::int64_t rows = -1;
  if (canonical.find(".attn_q.") != std::string_view::npos) rows = facts.heads * facts.head_size;
  if (canonical.find(".attn_k.") != std::string_view::npos) rows = facts.kv_heads * facts.head_size;
  if (canonical == "token_embd.weight") rows = facts.vocabulary;
  if (rows < 0 || (!tensor.shape.empty() && tensor.shape.front() == rows)) return {};
  return Error{.what = "the tensor does not fit the model's configuration",
               .where = "tensor '" + tensor.name + "'",
               .expected = std::to_string(rows) + " rows",
               .found = shape_text(tensor.shape)};
}

void add_divisors(const ModelFacts& facts, const ConvertOptions& options, ConvertPlan& plan) {
  if (facts.scaling != RopeScaling::kLlama3 || options.container != Container::kGguf) return;
  TensorJob job;
  job.target = {"rope_freqs.weight", DType::kF32, {facts.head_size / 2}};
  job.values = llama3_divisors(facts);
  plan.jobs.push_back(std::move(job));
}

}  // namespace

Result<ConvertPlan> plan_same_names(const Checkpoint& source, const ConvertOptions& options) {
  TRY(refuse_scaled_float8(source));
  const Typist typist = TRY(Typist::create(options, context_of(source)));
  ConvertPlan plan;
  for (const TensorView& tensor : source.tensors) {
    const std::string canonical = canonical_tensor_name(source.dialect, tensor.name).value_or(tensor.name);
    TensorJob job;
    job.source = &tensor;
    job.target = {tensor.name, typist.type_for(canonical, tensor), tensor.shape};
    job.importance = importance_of(options, canonical, tensor);
    plan.jobs.push_back(std::move(job));
  }
  return plan;
}

Result<ConvertPlan> plan_translation(const Checkpoint& source, const ModelFacts& facts,
                                     const ConvertOptions& options) {
  TRY(refuse_scaled_float8(source));
  MixContext context{.layers = static_cast<int>(facts.layers),
                     .queries_per_key = static_cast<int>(facts.heads / facts.kv_heads),
                     .has_output = !facts.tied};
  const Typist typist = TRY(Typist::create(options, context));
  const Dialect target = options.container == Container::kGguf ? Dialect::kGguf : Dialect::kHuggingFace;
  ConvertPlan plan;
  add_divisors(facts, options, plan);
  for (const TensorView& tensor : source.tensors) {
    const auto canonical = canonical_tensor_name(source.dialect, tensor.name);
    const bool tied_head = facts.tied && canonical == "output.weight";
    if (is_beside_text_model(tensor.name) || tied_head) {
      plan.left_out.push_back(tensor.name);
      continue;
    }
    if (tensor.name == "rope_freqs.weight" || tensor.name.ends_with(".weight.scale")) continue;
    if (!canonical) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "no place for this tensor in the target",
                   .where = source.path.string() + ", tensor '" + tensor.name + "'"};
    }
    TRY(check_shape(tensor, facts, *canonical));
    TensorJob job;
    job.source = &tensor;
    job.target = {*published_tensor_name(target, *canonical), typist.type_for(*canonical, tensor),
                  tensor.shape};
    job.order = order_for(source, facts, options.container, *canonical);
    job.head_size = facts.head_size;
    job.scales = source.find(tensor.name + ".scale");
    job.group = job.scales == nullptr ? 0 : tensor.elements() / job.scales->elements();
    job.importance = importance_of(options, *canonical, tensor);
    plan.jobs.push_back(std::move(job));
  }
  return plan;
}

}  // namespace maestrale::files
