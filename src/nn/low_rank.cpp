#include "nn/low_rank.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "nn/loader.h"
#include "nn/names.h"

namespace maestrale::nn {
namespace {

// The module's names in the adapter's own dialect.
std::vector<std::string> module_names(bool gguf, std::string_view canonical) {
  return published_names(gguf ? files::Dialect::kGguf : files::Dialect::kHuggingFace, "", canonical, "");
}

Error wrong_base(const files::Adapter& adapter, std::string what, std::string expected, std::string found) {
  return Error{.what = std::move(what),
               .where = adapter.path.string(),
               .expected = std::move(expected),
               .found = std::move(found),
               .hint = "the adapter was made for another base model"};
}

// Of the matrix, or stack of matrices, that a pair changes.
std::vector<std::int64_t> changed_shape(const files::LowRankPair& pair) {
  std::vector<std::int64_t> shape = pair.b.shape;
  shape.back() = pair.a.columns();
  return shape;
}

}  // namespace

DType float_type(DType stored) {
  return stored == DType::kF16 || stored == DType::kBF16 ? stored : DType::kF32;
}

ReadySide ready_side(const TensorView& side, std::int64_t paired_head) {
  ReadySide ready{.bytes = {}, .view = side};
  const std::int64_t rows = side.rows(), columns = side.columns();
  ready.view.dtype = float_type(side.dtype);
  const std::size_t row_bytes =
      static_cast<std::size_t>(columns) * (ready.view.dtype == DType::kF32 ? sizeof(float) : 2);
  ready.bytes.resize(row_bytes * static_cast<std::size_t>(rows));
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t from = row;
    if (paired_head > 0) {
      const std::int64_t within = row % paired_head;
      from = row - within + within / 2 + (within % 2) * (paired_head / 2);
    }
    std::byte* to = ready.bytes.data() + row_bytes * static_cast<std::size_t>(row);
    if (side.dtype == ready.view.dtype) {
      std::memcpy(to, side.row(from), row_bytes);
    } else {
      traits(side.dtype).dequantise(side.row(from), reinterpret_cast<float*>(to), columns);
    }
  }
  ready.view.data = ready.bytes;
  return ready;
}

const files::LowRankPair* find_pair(const files::Adapter& adapter, std::string_view canonical,
                                    std::string* module) {
  for (const std::string& name : module_names(adapter.gguf, canonical)) {
    const auto found = adapter.pairs.find(name);
    if (found == adapter.pairs.end()) continue;
    if (module != nullptr) *module = name;
    return &found->second;
  }
  return nullptr;
}

Result<std::vector<WeightLoader::Change>> WeightLoader::changes_of(std::string_view canonical,
                                                                   std::span<const std::int64_t> shape) {
  applied_.resize(checkpoint_.adapters.size());
  std::vector<Change> changes;
  for (std::size_t i = 0; i < checkpoint_.adapters.size(); ++i) {
    const files::Adapter& adapter = checkpoint_.adapters[i];
    std::string module;
    const files::LowRankPair* pair = find_pair(adapter, canonical, &module);
    if (pair == nullptr) continue;
    const std::vector<std::int64_t> found = changed_shape(*pair);
    if (!std::equal(found.begin(), found.end(), shape.begin(), shape.end())) {
      return wrong_base(adapter, "the adapter's change of '" + module + "' has the wrong shape",
                        shape_text(shape), shape_text(found));
    }
    for (const TensorView* side : {&pair->a, &pair->b}) {
      if (traits(side->dtype).dequantise != nullptr) continue;
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "tensor '" + side->name + "' of the adapter is of type " +
                           std::string(traits(side->dtype).name),
                   .where = adapter.path.string()};
    }
    const std::int64_t rank = pair->b.columns();
    changes.push_back({static_cast<int>(i), adapter.scale(rank), pair->a, pair->b});
    applied_[i].insert(module);
  }
  return changes;
}

Status WeightLoader::add_change(ops::Weight& weight, const ops::LowRankChange& change) {
  if (weight.changes != nullptr) {
    for (const ops::LowRankChange& other : weight.changes->of) {
      if (other.adapter != change.adapter) continue;
      return Error{.what = "the adapter changes one matrix under two names",
                   .where = checkpoint_.adapters[static_cast<std::size_t>(change.adapter)].path.string()};
    }
  }
  ops_->add_change(weight, change);
  return {};
}

Status WeightLoader::add_change(ops::Weight& weight, const Change& change, std::int64_t paired_head) {
  const bool gguf = checkpoint_.adapters[static_cast<std::size_t>(change.adapter)].gguf;
  const bool reorder = !gguf && dialect() != files::Dialect::kHuggingFace;
  const ReadySide a = ready_side(change.a, 0);
  const ReadySide b = ready_side(change.b, reorder ? paired_head : 0);
  const ops::Weight packed_a = TRY(pack(a.view, {}));
  const ops::Weight packed_b = TRY(pack(b.view, {}));
  return add_change(weight, {change.adapter, change.scale, packed_a, packed_b});
}

Status WeightLoader::add_changes(std::string_view canonical, std::int64_t paired_head, ops::Weight& weight) {
  if (!canonical.starts_with("blk.")) return {};  // the head's rows are not those of the batch
  for (const Change& change : TRY(changes_of(canonical, std::array{weight.rows, weight.columns})))
    TRY(add_change(weight, change, paired_head));
  return {};
}

Result<std::size_t> planned_change_bytes(const files::Adapter& adapter, const ops::Ops& ops) {
  std::size_t bytes = 0;
  for (const auto& [module, pair] : adapter.pairs) {
    for (const TensorView* side : {&pair.a, &pair.b}) {
      const bool stack = side->shape.size() == 3;
      const auto matrices = static_cast<std::size_t>(stack ? side->shape[0] : 1);
      const std::int64_t rows = stack ? side->shape[1] : side->rows();
      bytes += matrices * TRY(ops.packed_bytes(float_type(side->dtype), rows, side->columns()));
    }
  }
  return bytes;
}

Status WeightLoader::finish_adapters() const {
  for (std::size_t i = 0; i < checkpoint_.adapters.size(); ++i) {
    const files::Adapter& adapter = checkpoint_.adapters[i];
    const json::value* architecture = dialect() == files::Dialect::kGguf
                                          ? checkpoint_.metadata.if_contains("general.architecture")
                                          : nullptr;
    if (adapter.gguf && architecture == nullptr) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "a GGUF adapter goes with a GGUF model",
                   .where = adapter.path.string(),
                   .hint = "use the adapter's PEFT folder, or the model's GGUF file"};
    }
    if (adapter.gguf && !adapter.architecture.empty() && *architecture != adapter.architecture.c_str()) {
      return wrong_base(adapter, "the adapter is for another architecture",
                        std::string(architecture->as_string()), adapter.architecture);
    }
    for (const auto& [module, pair] : adapter.pairs) {
      if (i < applied_.size() && applied_[i].contains(module)) continue;
      return wrong_base(
          adapter, "the adapter changes '" + module + "', which cannot be changed in this model",
          "matrices of attention, feed-forward layers and experts (no embeddings or head)", module);
    }
  }
  return {};
}

}  // namespace maestrale::nn
