#include "files/assembly.h"

#include <array>
#include <charconv>
#include <utility>

#include "files/tensor_names.h"

namespace maestrale::files {
namespace {

constexpr std::array<std::string_view, 3> kMatrices = {"ffn_gate", "ffn_up", "ffn_down"};

// "blk.3.ffn_gate.5.weight" -> "ffn_gate_exps.weight", 5. Nothing for what is not one expert's.
std::pair<std::string, std::int64_t> expert_of(const std::string& local) {
  for (const std::string_view matrix : kMatrices) {
    if (!local.starts_with(std::string(matrix) + ".")) continue;
    const char* begin = local.data() + matrix.size() + 1;
    const char* end = local.data() + local.size();
    std::int64_t number = 0;
    const auto parsed = std::from_chars(begin, end, number);
    if (parsed.ec != std::errc() || std::string_view(parsed.ptr, end) != ".weight") continue;
    return {std::string(matrix) + "_exps.weight", number};
  }
  return {};
}

// Columns first, first + step, … of a matrix as f32: one half of the biases of gate and up.
RowSource columns_of(const TensorView& tensor, RowMap map, std::int64_t columns) {
  RowReader read = [tensor, map, columns](std::int64_t first, std::int64_t count, std::byte* out) {
    std::vector<float> row(static_cast<std::size_t>(tensor.columns())),
        half(static_cast<std::size_t>(columns));
    for (std::int64_t r = first; r < first + count; ++r) {
      traits(tensor.dtype).dequantise(tensor.row(r), row.data(), tensor.columns());
      for (std::int64_t c = 0; c < columns; ++c)
        half[static_cast<std::size_t>(c)] = row[static_cast<std::size_t>(map.first + c * map.step)];
      const auto bytes = std::as_bytes(std::span<const float>(half));
      out = std::copy(bytes.begin(), bytes.end(), out);
    }
  };
  return {.dtype = DType::kF32, .rows = tensor.rows(), .columns = columns, .read = std::move(read)};
}

bool is_plain(DType dtype) {
  return traits(dtype).block_elements == 1 && traits(dtype).dequantise != nullptr;
}

}  // namespace

Result<RowSource> rows_of(const Checkpoint& source, const TensorView& tensor,
                          std::vector<const TensorView*>& reads) {
  reads.push_back(&tensor);
  if (tensor.dtype != DType::kF8E4M3) {
    return RowSource{.dtype = tensor.dtype,
                     .rows = tensor.rows(),
                     .columns = tensor.columns(),
                     .read = copied_rows(tensor)};
  }
  constexpr std::string_view kTail = "weight";
  const std::string stem = tensor.name.substr(0, tensor.name.size() - kTail.size());
  for (const char* suffix : kScaleSuffixes) {
    const TensorView* scales = tensor.name.ends_with(kTail) ? source.find(stem + suffix) : nullptr;
    if (scales == nullptr) continue;
    const std::int64_t down = (tensor.rows() + kScaleBlock - 1) / kScaleBlock;
    const std::int64_t across = (tensor.columns() + kScaleBlock - 1) / kScaleBlock;
    const bool fits = scales->elements() == 1 || scales->shape == std::vector<std::int64_t>{down, across};
    if (!is_plain(scales->dtype) || !fits) {
      return Error{.what = "the scales do not fit their matrix",
                   .where = source.path.string() + ", tensor '" + scales->name + "'",
                   .expected = "one number, or " + shape_text(std::array{down, across}),
                   .found = shape_text(scales->shape)};
    }
    reads.push_back(scales);
    return scaled_rows(tensor, *scales);
  }
  return Error{.what = "FP8 codes without scales beside them",
               .where = source.path.string() + ", tensor '" + tensor.name + "'",
               .expected = stem + kScaleSuffixes[0]};
}

Result<bool> Assembly::take(const TensorView& tensor, const std::string& canonical) {
  const std::size_t dot = canonical.find('.', std::string_view("blk.").size());
  if (layer_of(canonical) < 0 || dot == canonical.npos) return false;
  const std::string layer = canonical.substr(0, dot + 1), local = canonical.substr(dot + 1);
  if (facts_.latent && local == "attn_kv_b.weight") {
    TRY(take_latent(tensor, layer));
    return true;
  }
  if (!facts_.experts) return false;
  const auto [stack, number] = expert_of(local);
  if (!stack.empty()) {
    TRY(take_expert(tensor, layer + stack, number));
    return true;
  }
  if (local.find("_fused") == local.npos) return false;
  TRY(take_fused(tensor, layer, local));
  return true;
}

Status Assembly::expect(const TensorView& tensor, const std::vector<std::int64_t>& shape) const {
  if (tensor.shape == shape) return {};
  return Error{.what = "the tensor does not fit the model's configuration",
               .where = source_.path.string() + ", tensor '" + tensor.name + "'",
               .expected = shape_text(shape),
               .found = shape_text(tensor.shape)};
}

void Assembly::add(std::string name, std::vector<std::int64_t> shape, RowSource rows, DType stored,
                   std::vector<const TensorView*> reads) {
  TensorJob job;
  const DType dtype = types_.type_for(name, stored, shape);
  job.target = {std::move(name), dtype, std::move(shape)};
  job.rows = std::move(rows);
  job.reads = std::move(reads);
  plan_.jobs.push_back(std::move(job));
}

Status Assembly::take_expert(const TensorView& tensor, const std::string& name, std::int64_t number) {
  const auto [found, is_new] = stacks_.try_emplace(name);
  Stack& stack = found->second;
  if (is_new) {
    stack.job = plan_.jobs.size();
    stack.experts.resize(static_cast<std::size_t>(facts_.experts->count));
    plan_.jobs.emplace_back();
  }
  if (number < 0 || number >= facts_.experts->count) {
    return Error{.what = "an expert that the configuration does not have",
                 .where = source_.path.string() + ", tensor '" + tensor.name + "'",
                 .expected = std::to_string(facts_.experts->count) + " experts"};
  }
  stack.experts[static_cast<std::size_t>(number)] = &tensor;
  return {};
}

Status Assembly::finish() {
  for (auto& [name, stack] : stacks_) {
    std::vector<RowSource> parts;
    TensorJob& job = plan_.jobs[stack.job];
    const TensorView* first = stack.experts.front();
    for (std::size_t i = 0; i < stack.experts.size(); ++i) {
      const TensorView* expert = stack.experts[i];
      const bool alike = expert != nullptr && first != nullptr && expert->dtype == first->dtype &&
                         expert->shape == first->shape && expert->shape.size() == 2;
      if (!alike) {
        return Error{.what = "an expert is missing or unlike the others",
                     .where = source_.path.string() + ", for '" + name + "'",
                     .expected = std::to_string(stack.experts.size()) + " matrices of one shape and type",
                     .found = "expert " + std::to_string(i)};
      }
      parts.push_back(TRY(rows_of(source_, *expert, job.reads)));
    }
    const std::vector<std::int64_t> shape = {facts_.experts->count, first->shape[0], first->shape[1]};
    job.target = {name, types_.type_for(name, first->dtype, shape), shape};
    job.rows = stacked(std::move(parts));
  }
  return {};
}

Status Assembly::take_latent(const TensorView& tensor, const std::string& layer) {
  const LatentFacts& latent = *facts_.latent;
  const std::int64_t rows = latent.plain + latent.value;
  TRY(expect(tensor, {facts_.heads * rows, latent.latent}));
  std::vector<const TensorView*> reads;
  const RowSource whole = TRY(rows_of(source_, tensor, reads));
  std::vector<RowSource> keys, values;
  for (std::int64_t head = 0; head < facts_.heads; ++head) {
    keys.push_back(transposed(rows_between(whole, head * rows, latent.plain)));
    values.push_back(rows_between(whole, head * rows + latent.plain, latent.value));
  }
  add(layer + "attn_k_b.weight", {facts_.heads, latent.latent, latent.plain}, stacked(std::move(keys)),
      tensor.dtype, reads);
  add(layer + "attn_v_b.weight", {facts_.heads, latent.value, latent.latent}, stacked(std::move(values)),
      tensor.dtype, reads);
  return {};
}

// gate_up of all experts in one tensor, their down beside it, both also as blocks or biases.
Status Assembly::take_fused(const TensorView& tensor, const std::string& layer, const std::string& local) {
  const ExpertFacts& experts = *facts_.experts;
  const bool down = local.starts_with("ffn_down");
  if (local.find("_scales.") != local.npos) return {};  // read with their blocks
  if (local.find("_blocks.") != local.npos) return take_blocks(tensor, layer, down);
  const bool bias = local.ends_with(".bias");
  const std::size_t dimensions = bias ? 2 : 3;
  if (tensor.shape.size() != dimensions || tensor.shape.front() != experts.count || !is_plain(tensor.dtype) ||
      tensor.dtype == DType::kF8E4M3) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "experts in one tensor are read as f32, f16 or bf16, one after another",
                 .where = source_.path.string() + ", tensor '" + tensor.name + "'",
                 .found = std::string(traits(tensor.dtype).name) + " " + shape_text(tensor.shape)};
  }
  const bool first = experts.inputs_first && !bias;
  const std::int64_t outputs = tensor.shape[first ? 2 : 1], inputs = bias ? 1 : tensor.shape[first ? 1 : 2];
  const std::int64_t rows = down ? outputs : outputs / 2;
  for (const std::string_view matrix : kMatrices) {
    if ((matrix == "ffn_down") != down) continue;
    const bool up = matrix == "ffn_up";
    RowMap map;
    if (!down) map = experts.interleaved ? RowMap{up ? 1 : 0, 2} : RowMap{up ? rows : 0, 1};
    const std::string name = layer + std::string(matrix) + "_exps";
    if (bias) {
      add(name + ".bias", {experts.count, rows}, columns_of(tensor, map, rows), tensor.dtype, {&tensor});
      continue;
    }
    std::vector<RowSource> parts;
    for (std::int64_t i = 0; i < experts.count; ++i) {
      const TensorView stored = slice_of(tensor, i, tensor.shape[1], tensor.shape[2]);
      parts.push_back({.dtype = tensor.dtype,
                       .rows = rows,
                       .columns = inputs,
                       .read = first ? transposed_rows(stored, map) : copied_rows(stored, map)});
    }
    add(name + ".weight", {experts.count, rows, inputs}, stacked(std::move(parts)), tensor.dtype, {&tensor});
  }
  return {};
}

Status Assembly::take_blocks(const TensorView& codes, const std::string& layer, bool down) {
  constexpr std::int64_t kBlock = 32;
  const std::string tail = "_blocks";
  const ExpertFacts& experts = *facts_.experts;
  const TensorView* scales = source_.find(codes.name.substr(0, codes.name.size() - tail.size()) + "_scales");
  if (scales == nullptr || codes.shape.size() != 4 || codes.shape[0] != experts.count ||
      codes.shape[3] != kBlock / 2 || codes.dtype != DType::kU8 || scales->dtype != DType::kU8) {
    return Error{.what = "experts' blocks are not MXFP4",
                 .where = source_.path.string() + ", tensor '" + codes.name + "'",
                 .expected = "u8 codes [experts, outputs, inputs / 32, 16] and u8 scales beside them"};
  }
  TRY(expect(*scales, {codes.shape[0], codes.shape[1], codes.shape[2]}));
  const std::int64_t outputs = codes.shape[1], inputs = codes.shape[2] * kBlock;
  for (const std::string_view matrix : kMatrices) {
    if ((matrix == "ffn_down") != down) continue;
    const RowMap map = down ? RowMap{} : RowMap{matrix == "ffn_up" ? 1 : 0, 2};
    const std::int64_t rows = down ? outputs : outputs / 2;
    std::vector<RowSource> parts;
    for (std::int64_t i = 0; i < experts.count; ++i) {
      parts.push_back({.dtype = DType::kMXFP4,
                       .rows = rows,
                       .columns = inputs,
                       .read = mxfp4_rows(slice_of(codes, i, outputs, inputs / 2),
                                          slice_of(*scales, i, outputs, inputs / kBlock), map)});
    }
    add(layer + std::string(matrix) + "_exps.weight", {experts.count, rows, inputs},
        stacked(std::move(parts)), DType::kMXFP4, {&codes, scales});
  }
  return {};
}

}  // namespace maestrale::files
