#include "nn/loader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "files/tensor_names.h"
#include "nn/low_rank.h"
#include "nn/names.h"

namespace maestrale::nn {
namespace {

std::vector<float> to_floats(const TensorView& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  traits(tensor.dtype).dequantise(tensor.data.data(), values.data(), tensor.elements());
  return values;
}

}  // namespace

WeightLoader::WeightLoader(const files::Checkpoint& checkpoint, ops::Ops& ops, Progress progress)
    : checkpoint_(checkpoint),
      ops_(&ops),
      device_(ops),
      progress_(std::move(progress)),
      prefix_(text_prefix(checkpoint)) {}

WeightLoader::WeightLoader(const files::Checkpoint& checkpoint, const ops::Ops& device)
    : checkpoint_(checkpoint), device_(device), prefix_(text_prefix(checkpoint)) {}

std::string WeightLoader::name(std::string_view canonical, std::string_view suffix) const {
  return published_name(checkpoint_, prefix_, canonical, suffix);
}

bool WeightLoader::has(std::string_view canonical, std::string_view suffix) const {
  return checkpoint_.find(name(canonical, suffix)) != nullptr;
}

Result<const TensorView*> WeightLoader::claim(std::string_view canonical, std::string_view suffix) {
  const std::string published = name(canonical, suffix);
  const TensorView* tensor = checkpoint_.find(published);
  if (tensor == nullptr) {
    return Error{.what = "tensor '" + published + "' is missing", .where = checkpoint_.path.string()};
  }
  claimed_.insert(published);
  return tensor;
}

Status WeightLoader::expect_shape(const TensorView& tensor, std::span<const std::int64_t> shape) const {
  if (std::equal(tensor.shape.begin(), tensor.shape.end(), shape.begin(), shape.end())) return {};
  return Error{.what = "tensor '" + tensor.name + "' has the wrong shape",
               .where = checkpoint_.path.string(),
               .expected = shape_text(shape),
               .found = shape_text(tensor.shape),
               .hint = "the configuration and the weights do not belong together"};
}

// Scales that stand beside a matrix of bare codes: FP8 (per 128×128 block or per tensor) and llama2.c's int8
// (per group along the row). Null for every type that carries its own.
Result<const TensorView*> WeightLoader::find_scales(std::string_view canonical, const TensorView& matrix,
                                                    ops::BlockScales& grid) {
  if (const TensorView* group = checkpoint_.find(matrix.name + ".scale"); group != nullptr) {
    claimed_.insert(group->name);
    grid = {.values = {},
            .block_rows = 1,
            .block_columns = matrix.elements() / std::max<std::int64_t>(group->elements(), 1)};
    return group;
  }
  if (traits(matrix.dtype).name != "f8_e4m3") return static_cast<const TensorView*>(nullptr);
  for (const char* suffix : files::kIgnoredSuffixes) {
    if (has(canonical, suffix)) TRY(claim(canonical, suffix));
  }
  for (const char* suffix : files::kScaleSuffixes) {
    if (!has(canonical, suffix)) continue;
    const TensorView* tensor = TRY(claim(canonical, suffix));
    if (traits(tensor->dtype).dequantise == nullptr) break;
    grid = {.values = {}, .block_rows = matrix.rows(), .block_columns = matrix.columns()};
    if (tensor->elements() == 1) return tensor;
    constexpr std::int64_t kBlock = 128;
    TRY(expect_shape(*tensor, std::array{(matrix.rows() + kBlock - 1) / kBlock,
                                         (matrix.columns() + kBlock - 1) / kBlock}));
    grid.block_rows = grid.block_columns = kBlock;
    return tensor;
  }
  return Error{.what = "tensor '" + matrix.name + "' is FP8 but has no scale beside it",
               .where = checkpoint_.path.string(),
               .expected = name(canonical, files::kScaleSuffixes[0])};
}

Result<std::vector<float>> WeightLoader::block_scales(std::string_view canonical, const TensorView& matrix,
                                                      ops::BlockScales& scales) {
  const TensorView* tensor = TRY(find_scales(canonical, matrix, scales));
  return tensor == nullptr ? std::vector<float>() : to_floats(*tensor);
}

Result<WeightLoader::ScaledTensor> WeightLoader::scaled(std::string_view canonical,
                                                        std::span<const std::int64_t> shape) {
  ScaledTensor result;
  result.tensor = TRY(claim(canonical, "weight"));
  TRY(expect_shape(*result.tensor, shape));
  result.scale_values = TRY(block_scales(canonical, *result.tensor, result.grid));
  return result;
}

Result<ops::Weight> WeightLoader::pack(const TensorView& matrix, const ops::BlockScales& scales) {
  CHECK(ops_ != nullptr, "a loader that plans packs nothing");
  return ops_->pack(matrix, scales);
}

void WeightLoader::done_with(const TensorView& tensor) {
  checkpoint_.release(tensor);
  bytes_done_ += tensor.data.size();
  if (progress_)
    progress_(static_cast<double>(bytes_done_) / static_cast<double>(checkpoint_.file_bytes() + 1));
}

Result<ops::Weight> WeightLoader::matrix(std::string_view canonical, std::int64_t rows, std::int64_t columns,
                                         std::int64_t paired_head) {
  const ScaledTensor source = TRY(scaled(canonical, std::array{rows, columns}));
  ops::Weight weight = TRY(pack(*source.tensor, source.scales()));
  done_with(*source.tensor);
  TRY(add_changes(canonical, paired_head, weight));
  return weight;
}

Result<ops::LazyWeight*> WeightLoader::pack_later(ops::MatrixSource source, const TensorView& stored) {
  const TensorView& matrix = source.matrix;
  if (ops_ == nullptr) {
    planned_bytes_ += TRY(device_.packed_bytes(matrix.dtype, matrix.rows(), matrix.columns()));
    return static_cast<ops::LazyWeight*>(nullptr);
  }
  source.done = [checkpoint = &checkpoint_, stored] { checkpoint->release(stored); };
  bytes_done_ += stored.data.size();
  return ops_->pack_later(std::move(source));
}

Result<ops::LazyWeight*> WeightLoader::matrix_later(std::string_view canonical, std::int64_t rows,
                                                    std::int64_t columns) {
  const TensorView* tensor = TRY(claim(canonical, "weight"));
  TRY(expect_shape(*tensor, std::array{rows, columns}));
  ops::BlockScales grid;
  const TensorView* scales = TRY(find_scales(canonical, *tensor, grid));
  return pack_later({.matrix = *tensor,
                     .scales = scales,
                     .block_rows = grid.block_rows,
                     .block_columns = grid.block_columns},
                    *tensor);
}

Result<std::vector<float>> WeightLoader::values_of(const TensorView& tensor) const {
  if (traits(tensor.dtype).dequantise != nullptr && traits(tensor.dtype).block_elements == 1)
    return to_floats(tensor);
  return Error{
      .kind = ErrorKind::kUnsupported,
      .what = "tensor '" + tensor.name + "' is a vector of type " + std::string(traits(tensor.dtype).name),
      .where = checkpoint_.path.string(),
      .expected = "f32, f16 or bf16"};
}

Result<std::vector<float>> WeightLoader::vector(std::string_view canonical, std::int64_t n,
                                                std::string_view suffix) {
  return values(canonical, std::array{n}, suffix);
}

Result<std::vector<float>> WeightLoader::values(std::string_view canonical,
                                                std::span<const std::int64_t> shape,
                                                std::string_view suffix) {
  const TensorView* tensor = TRY(claim(canonical, suffix));
  TRY(expect_shape(*tensor, shape));
  return values_of(*tensor);
}

Result<std::vector<float>> WeightLoader::array(std::string_view canonical, std::int64_t n,
                                               std::string_view suffix) {
  const TensorView* tensor = TRY(claim(canonical, suffix));
  if (tensor->elements() == n) return values_of(*tensor);
  return Error{.what = "tensor '" + tensor->name + "' has the wrong size",
               .where = checkpoint_.path.string(),
               .expected = std::to_string(n) + " values",
               .found = shape_text(tensor->shape)};
}

Result<std::vector<float>> WeightLoader::norm(std::string_view canonical, std::int64_t n) {
  std::vector<float> values = TRY(vector(canonical, n));
  for (float& value : values) value += norm_offset_;
  return values;
}

Result<TensorView> WeightLoader::table(std::string_view canonical, std::int64_t rows, std::int64_t columns,
                                       std::vector<float>& storage) {
  const TensorView* tensor = TRY(claim(canonical, "weight"));
  TRY(expect_shape(*tensor, std::array{rows, columns}));
  ops::BlockScales scales;
  const std::vector<float> values = TRY(block_scales(canonical, *tensor, scales));
  if (values.empty() && traits(tensor->dtype).dequantise != nullptr) return *tensor;
  if (values.empty()) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "the embedding table '" + tensor->name + "' is of type " +
                         std::string(traits(tensor->dtype).name),
                 .where = checkpoint_.path.string(),
                 .hint = "convert it to f16 or q8_0"};
  }
  storage.resize(static_cast<std::size_t>(tensor->elements()));
  scales.values = values;
  ops::expand_scaled(*tensor, scales, storage.data());
  return TensorView{.name = tensor->name,
                    .dtype = DType::kF32,
                    .shape = tensor->shape,
                    .data = std::as_bytes(std::span<const float>(storage))};
}

bool WeightLoader::is_settled(const std::string& published) const {
  return claimed_.contains(published) || layer_number(published) >= first_left_layer_;
}

Status WeightLoader::finish() const {
  std::string names;
  int unclaimed = 0;
  for (const TensorView& tensor : checkpoint_.tensors) {
    if (is_settled(tensor.name) || files::is_beside_text_model(tensor.name)) continue;
    if (++unclaimed <= 3) names += (names.empty() ? "" : ", ") + tensor.name;
  }
  if (unclaimed == 0) return finish_adapters();
  return Error{.kind = ErrorKind::kUnsupported,
               .what = std::to_string(unclaimed) + " tensors that this architecture does not use",
               .where = checkpoint_.path.string(),
               .found = names + (unclaimed > 3 ? ", …" : ""),
               .hint = "the file may be of another or newer architecture than its configuration says"};
}

Result<std::size_t> planned_weight_bytes(const files::Checkpoint& checkpoint, const ops::Ops& ops,
                                         bool tied_head, const WeightLoader* planned) {
  const std::string embedding = published_name(checkpoint, text_prefix(checkpoint), "token_embd", "weight");
  std::size_t bytes = 0;
  for (const TensorView& tensor : checkpoint.tensors) {
    if (planned != nullptr && planned->is_settled(tensor.name)) continue;
    if (tensor.shape.size() != 2 || (tensor.name == embedding && !tied_head)) continue;
    if (files::is_companion_of_matrix(tensor.name) || files::is_beside_text_model(tensor.name)) continue;
    bytes += TRY(ops.packed_bytes(tensor.dtype, tensor.rows(), tensor.columns()));
  }
  for (const files::Adapter& adapter : checkpoint.adapters) bytes += TRY(planned_change_bytes(adapter, ops));
  return bytes;
}

}  // namespace maestrale::nn
