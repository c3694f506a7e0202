// WeightLoader: blocks ask for tensors by canonical name; shapes are checked, matrices packed for the device,
// and a tensor that nobody asked for is an error.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "files/checkpoint.h"
#include "ops/ops.h"

namespace maestrale::nn {

class WeightLoader {
 public:
  using Progress = std::function<void(double fraction)>;

  WeightLoader(const files::Checkpoint& checkpoint, ops::Ops& ops, Progress progress);
  // A loader that only counts what is packed later, before there is room for it.
  WeightLoader(const files::Checkpoint& checkpoint, const ops::Ops& device);
  std::size_t planned_bytes() const { return planned_bytes_; }

  bool has(std::string_view canonical, std::string_view suffix = "weight") const;
  // Packs [rows, columns]; FP8 scales beside it are found and applied, and what the checkpoint's adapters
  // change is packed with it. `paired_head`: the head size of rows that stand in the order of rotated pairs
  // where Hugging Face files have halves; 0: the order is the same everywhere.
  Result<ops::Weight> matrix(std::string_view canonical, std::int64_t rows, std::int64_t columns,
                             std::int64_t paired_head = 0);
  // The parts of matrix(), for blocks that cut a tensor before they pack it. done_with: its pages may leave
  // memory.
  struct ScaledTensor {
    const TensorView* tensor = nullptr;
    std::vector<float> scale_values;
    ops::BlockScales grid;  // values are scale_values
    ops::BlockScales scales() const { return {scale_values, grid.block_rows, grid.block_columns}; }
  };
  Result<ScaledTensor> scaled(std::string_view canonical, std::span<const std::int64_t> shape);
  Result<ops::Weight> pack(const TensorView& matrix, const ops::BlockScales& scales);
  void done_with(const TensorView& tensor);
  // A matrix that is packed when it is first used; the checkpoint must stay open. `stored`: what it is read
  // from.
  Result<ops::LazyWeight*> matrix_later(std::string_view canonical, std::int64_t rows, std::int64_t columns);
  Result<ops::LazyWeight*> pack_later(ops::MatrixSource source, const TensorView& stored);
  // What an adapter changes of a matrix, or of a stack of matrices: its sides as its file has them.
  struct Change {
    int adapter = 0;
    float scale = 0;
    TensorView a, b;
  };
  // `shape`: of the matrix [rows, columns] or of the stack [matrices, rows, columns]. For blocks that pack in
  // their own way; matrix() does it itself.
  Result<std::vector<Change>> changes_of(std::string_view canonical, std::span<const std::int64_t> shape);
  Status add_change(ops::Weight& weight, const Change& change, std::int64_t paired_head = 0);
  Status add_change(ops::Weight& weight, const ops::LowRankChange& change);
  bool plans() const { return ops_ == nullptr; }
  // A vector of n values as f32.
  Result<std::vector<float>> vector(std::string_view canonical, std::int64_t n,
                                    std::string_view suffix = "weight");
  // The same of a given shape.
  Result<std::vector<float>> values(std::string_view canonical, std::span<const std::int64_t> shape,
                                    std::string_view suffix);
  // The same of a tensor of any shape with n values; an empty suffix: the name has none.
  Result<std::vector<float>> array(std::string_view canonical, std::int64_t n,
                                   std::string_view suffix = "weight");
  files::Dialect dialect() const { return checkpoint_.dialect; }
  // The weights of an RMSNorm. Families that store w - 1 set the offset before they load.
  void set_norm_offset(float offset) { norm_offset_ = offset; }
  Result<std::vector<float>> norm(std::string_view canonical, std::int64_t n);
  // The embedding table, left where it is in the mapped file. Where its rows cannot be read alone (codes with
  // scales elsewhere) it is expanded into `storage` and the view points there.
  Result<TensorView> table(std::string_view canonical, std::int64_t rows, std::int64_t columns,
                           std::vector<float>& storage);
  // A tensor that the model's configuration has read already, by its published name.
  void claim_exact(std::string_view published) { claimed_.insert(std::string(published)); }
  // For blocks that read a tensor in their own way.
  Result<const TensorView*> claim(std::string_view canonical, std::string_view suffix);
  Status expect_shape(const TensorView& tensor, std::span<const std::int64_t> shape) const;
  // Tensors of layers from `layer` on are nobody's, and that is right.
  void leave_layers_from(int layer) { first_left_layer_ = layer; }
  // Claimed, or left out on purpose.
  bool is_settled(const std::string& published) const;
  // Every tensor claimed? Names the first ones that were not.
  Status finish() const;

 private:
  Result<const TensorView*> find_scales(std::string_view canonical, const TensorView& matrix,
                                        ops::BlockScales& grid);
  Result<std::vector<float>> values_of(const TensorView& tensor) const;
  Result<std::vector<float>> block_scales(std::string_view canonical, const TensorView& matrix,
                                          ops::BlockScales& scales);
  std::string name(std::string_view canonical, std::string_view suffix) const;
  Status add_changes(std::string_view canonical, std::int64_t paired_head, ops::Weight& weight);
  Status finish_adapters() const;

  const files::Checkpoint& checkpoint_;
  ops::Ops* ops_ = nullptr;  // null: plans only
  const ops::Ops& device_;
  Progress progress_;
  std::string prefix_;
  float norm_offset_ = 0;
  int first_left_layer_ = std::numeric_limits<int>::max();
  std::unordered_set<std::string> claimed_;
  std::vector<std::unordered_set<std::string>> applied_;  // modules of each adapter
  std::uint64_t bytes_done_ = 0;
  std::size_t planned_bytes_ = 0;
};

// How many bytes the packed matrices will take. Every 2-D tensor of the text model counts once, the embedding
// table only where it is also the output head; what `planned` (or null) has claimed does not count.
Result<std::size_t> planned_weight_bytes(const files::Checkpoint& checkpoint, const ops::Ops& ops,
                                         bool tied_head, const WeightLoader* planned = nullptr);

}  // namespace maestrale::nn
