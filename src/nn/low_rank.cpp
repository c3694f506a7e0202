#include "nn/low_rank.h"

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

Status WeightLoader::add_changes(std::string_view canonical, std::int64_t paired_head, ops::Weight& weight) {
  applied_.resize(checkpoint_.adapters.size());
  if (!canonical.starts_with("blk.")) return {};  // the head's rows are not those of the batch
  for (std::size_t i = 0; i < checkpoint_.adapters.size(); ++i) {
    const files::Adapter& adapter = checkpoint_.adapters[i];
    for (const std::string& module : module_names(adapter.gguf, canonical)) {
      const auto found = adapter.pairs.find(module);
      if (found == adapter.pairs.end()) continue;
      const files::LowRankPair& pair = found->second;
      if (pair.a.shape[1] != weight.columns || pair.b.shape[0] != weight.rows) {
        return wrong_base(
            adapter, "the adapter's change of '" + module + "' has the wrong shape",
            "[" + std::to_string(weight.rows) + ", " + std::to_string(weight.columns) + "]",
            "[" + std::to_string(pair.b.shape[0]) + ", " + std::to_string(pair.a.shape[1]) + "]");
      }
      for (const TensorView* side : {&pair.a, &pair.b}) {
        if (traits(side->dtype).dequantise != nullptr) continue;
        return Error{.kind = ErrorKind::kUnsupported,
                     .what = "tensor '" + side->name + "' of the adapter is of type " +
                             std::string(traits(side->dtype).name),
                     .where = adapter.path.string()};
      }
      const bool reorder = !adapter.gguf && dialect() != files::Dialect::kHuggingFace;
      const ReadySide a = ready_side(pair.a, 0);
      const ReadySide b = ready_side(pair.b, reorder ? paired_head : 0);
      TRY(ops_->add_change(weight, static_cast<int>(i), adapter.scale(pair.a.shape[0]), a.view, b.view));
      applied_[i].insert(module);
      break;
    }
  }
  return {};
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
          "matrices of attention and feed-forward layers (no experts, embeddings or head)", module);
    }
  }
  return {};
}

}  // namespace maestrale::nn
