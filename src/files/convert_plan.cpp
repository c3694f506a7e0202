#include "files/convert_plan.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "files/assembly.h"
#include "files/target_types.h"
#include "files/tensor_names.h"

namespace maestrale::files {
namespace {

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

// "blk.3.attn_q.weight" and its bias, for "attn_q": not a norm, not the indexer's.
bool is_of_layer(std::string_view canonical, std::string_view local) {
  const std::size_t dot = canonical.find('.', std::string_view("blk.").size());
  if (layer_of(canonical) < 0 || dot == canonical.npos) return false;
  const std::string_view rest = canonical.substr(dot + 1);
  return rest.starts_with(local) && rest.substr(local.size()).starts_with('.');
}

RowOrder order_for(const Checkpoint& source, const ModelFacts& facts, Container target,
                   std::string_view canonical) {
  const bool of_query_or_key = is_of_layer(canonical, "attn_q") || is_of_layer(canonical, "attn_k");
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
  if (is_of_layer(canonical, "attn_q")) rows = facts.heads * facts.head_size;
  if (is_of_layer(canonical, "attn_k")) rows = facts.kv_heads * facts.head_size;
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

// The tensor's name in the target. GGUF writers call some norms of some families by other names.
std::string target_name(const ModelFacts& facts, Container container, const std::string& canonical) {
  if (container == Container::kSafetensors) return *published_tensor_name(Dialect::kHuggingFace, canonical);
  const std::pair<std::string_view, std::string_view> kNames[] = {
      {"gpt-oss.ffn_norm.weight", "post_attention_norm.weight"},
      {"grok.post_attention_norm.weight", "attn_output_norm.weight"},
      {"grok.post_ffw_norm.weight", facts.output_norm_name}};
  const std::size_t dot = canonical.find('.', std::string_view("blk.").size());
  for (const auto& [from, to] : kNames) {
    if (layer_of(canonical) < 0 || facts.architecture + canonical.substr(dot) != from) continue;
    const std::string_view tail = to.ends_with(".weight") ? "" : ".weight";
    return canonical.substr(0, dot + 1) + std::string(to) + std::string(tail);
  }
  return canonical;
}

// FP8 codes are read through their scales, in the target's order.
Status read_through_scales(const Checkpoint& source, TensorJob& job) {
  RowSource rows = TRY(rows_of(source, *job.source, job.reads));
  if (job.order != RowOrder::kKeep) {
    rows.read = [inner = std::move(rows.read), order = job.order, head = job.head_size,
                 bytes = static_cast<std::size_t>(rows.columns) * sizeof(float)](
                    std::int64_t first, std::int64_t count, std::byte* out) {
      for (std::int64_t i = 0; i < count; ++i)
        inner(source_row(order, head, first + i), 1, out + static_cast<std::size_t>(i) * bytes);
    };
  }
  job.rows = std::move(rows);
  job.source = nullptr;
  job.order = RowOrder::kKeep;
  return {};
}

class Translation {
 public:
  Translation(const Checkpoint& source, const ModelFacts& facts, const ConvertOptions& options,
              const TargetTypes& types, ConvertPlan& plan)
      : source_(source),
        facts_(facts),
        options_(options),
        types_(types),
        plan_(plan),
        assembly_(source, facts, types, plan) {}

  Status run() {
    add_divisors(facts_, options_, plan_);
    for (const TensorView& tensor : source_.tensors) TRY(add(tensor));
    return assembly_.finish();
  }

 private:
  Status add(const TensorView& tensor) {
    const auto canonical = canonical_tensor_name(source_.dialect, tensor.name);
    const bool tied_head = facts_.tied && canonical == "output.weight";
    const bool further_layer = published_layer(source_.dialect, tensor.name) >= facts_.layers;
    if (is_beside_text_model(tensor.name) || tied_head || further_layer) {
      plan_.left_out.push_back(tensor.name);
      return {};
    }
    if (tensor.name == "rope_freqs.weight" || is_companion_of_matrix(tensor.name)) return {};
    if (!canonical) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "no place for this tensor in the target",
                   .where = source_.path.string() + ", tensor '" + tensor.name + "'"};
    }
    if (TRY(assembly_.take(tensor, *canonical))) return {};
    TRY(check_shape(tensor, facts_, *canonical));
    TensorJob job;
    job.source = &tensor;
    job.target = {target_name(facts_, options_.container, *canonical),
                  types_.type_for(*canonical, tensor.dtype, tensor.shape), tensor.shape};
    job.order = order_for(source_, facts_, options_.container, *canonical);
    job.head_size = facts_.head_size;
    job.scales = source_.find(tensor.name + ".scale");
    job.group = job.scales == nullptr ? 0 : tensor.elements() / job.scales->elements();
    job.importance = importance_of(options_, *canonical, tensor);
    if (tensor.dtype == DType::kF8E4M3) TRY(read_through_scales(source_, job));
    plan_.jobs.push_back(std::move(job));
    return {};
  }

  const Checkpoint& source_;
  const ModelFacts& facts_;
  const ConvertOptions& options_;
  const TargetTypes& types_;
  ConvertPlan& plan_;
  Assembly assembly_;
};

}  // namespace

Result<ConvertPlan> plan_same_names(const Checkpoint& source, const ConvertOptions& options) {
  TRY(refuse_scaled_float8(source));
  const TargetTypes types = TRY(TargetTypes::create(options, context_of(source)));
  ConvertPlan plan;
  for (const TensorView& tensor : source.tensors) {
    const std::string canonical = canonical_tensor_name(source.dialect, tensor.name).value_or(tensor.name);
    TensorJob job;
    job.source = &tensor;
    job.target = {tensor.name, types.type_for(canonical, tensor.dtype, tensor.shape), tensor.shape};
    job.importance = importance_of(options, canonical, tensor);
    plan.jobs.push_back(std::move(job));
  }
  return plan;
}

Result<ConvertPlan> plan_translation(const Checkpoint& source, const ModelFacts& facts,
                                     const ConvertOptions& options) {
  const MixContext context{.layers = static_cast<int>(facts.layers),
                           .queries_per_key = static_cast<int>(facts.heads / facts.kv_heads),
                           .experts = static_cast<int>(facts.experts.value_or(ExpertFacts{}).count),
                           .has_output = !facts.tied};
  const TargetTypes types = TRY(TargetTypes::create(options, context));
  ConvertPlan plan;
  TRY(Translation(source, facts, options, types, plan).run());
  return plan;
}

}  // namespace maestrale::files
