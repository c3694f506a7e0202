#include "nn/loader.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>

#include "ops/cpu/cpu_ops.h"

namespace maestrale::nn {
namespace {

class Loader : public testing::Test {
 protected:
  void SetUp() override {
    checkpoint_.dialect = files::Dialect::kGguf;
    checkpoint_.path = "made.gguf";
    add("token_embd.weight", DType::kF16, {8, 4});
    add("blk.0.attn_q.weight", DType::kF32, {6, 4});
    add("blk.0.attn_norm.weight", DType::kBF16, {4});
  }

  // Bytes count up, so that every tensor has finite values.
  void add(const std::string& name, DType dtype, std::vector<std::int64_t> shape, std::size_t fill = 0x20) {
    TensorView tensor{.name = name, .dtype = dtype, .shape = std::move(shape), .data = {}};
    memory_.emplace_back(storage_bytes(dtype, tensor.elements()).value(), static_cast<std::byte>(fill));
    tensor.data = memory_.back();
    checkpoint_.tensors.push_back(std::move(tensor));
  }

  WeightLoader make() {
    checkpoint_.index_tensors();
    EXPECT_TRUE(ops_->reserve_weights(1 << 20).ok());
    return WeightLoader(checkpoint_, *ops_, [this](double fraction) { progress_ = fraction; });
  }

  std::unique_ptr<ops::Ops> ops_ = std::move(ops::make_cpu_ops("ref", 1)).value();
  files::Checkpoint checkpoint_;
  std::vector<std::vector<std::byte>> memory_;
  double progress_ = -1;
};

template <class T>
std::string error_of(const Result<T>& result) {
  return result.ok() ? std::string("no error") : result.error().render();
}

TEST_F(Loader, TakesWhatIsThere) {
  WeightLoader loader = make();
  const auto matrix = loader.matrix("blk.0.attn_q", 6, 4);
  ASSERT_TRUE(matrix.ok()) << matrix.error().render();
  EXPECT_EQ(matrix->rows, 6);
  EXPECT_EQ(matrix->columns, 4);
  EXPECT_GE(progress_, 0);
  const auto vector = loader.vector("blk.0.attn_norm", 4);
  ASSERT_TRUE(vector.ok()) << vector.error().render();
  EXPECT_EQ(vector->size(), 4u);
  std::vector<float> storage;
  const auto table = loader.table("token_embd", 8, 4, storage);
  ASSERT_TRUE(table.ok()) << table.error().render();
  EXPECT_EQ(table->data.data(), memory_[0].data());  // read where it is
  EXPECT_TRUE(storage.empty());
  EXPECT_TRUE(loader.finish().ok());
  EXPECT_TRUE(loader.has("blk.0.attn_q"));
  EXPECT_FALSE(loader.has("blk.0.attn_q", "bias"));
}

TEST_F(Loader, NamesAMissingTensor) {
  WeightLoader loader = make();
  for (const std::string& error :
       {error_of(loader.matrix("blk.0.attn_k", 6, 4)), error_of(loader.vector("blk.0.attn_k", 4))}) {
    EXPECT_NE(error.find("tensor 'blk.0.attn_k.weight' is missing"), std::string::npos) << error;
    EXPECT_NE(error.find("made.gguf"), std::string::npos) << error;
  }
}

TEST_F(Loader, NamesAMisshapenTensorAndBothShapes) {
  WeightLoader loader = make();
  std::vector<float> storage;
  for (const std::string& error :
       {error_of(loader.matrix("blk.0.attn_q", 4, 6)), error_of(loader.matrix("blk.0.attn_q", 6, 5)),
        error_of(loader.matrix("blk.0.attn_norm", 1, 4)), error_of(loader.vector("blk.0.attn_q", 24)),
        error_of(loader.vector("blk.0.attn_norm", 5)), error_of(loader.table("token_embd", 9, 4, storage))}) {
    EXPECT_NE(error.find("has the wrong shape"), std::string::npos) << error;
    EXPECT_NE(error.find("expected ["), std::string::npos) << error;
    EXPECT_NE(error.find("found ["), std::string::npos) << error;
  }
}

TEST_F(Loader, NamesWhatNobodyAskedFor) {
  for (int i = 0; i < 4; ++i) add("blk.0.extra_" + std::to_string(i) + ".weight", DType::kF32, {4});
  add("vision_tower.patch.weight", DType::kF32, {4});
  WeightLoader loader = make();
  std::vector<float> storage;
  ASSERT_TRUE(loader.table("token_embd", 8, 4, storage).ok());
  ASSERT_TRUE(loader.matrix("blk.0.attn_q", 6, 4).ok());
  loader.claim_exact("blk.0.attn_norm.weight");
  const Status status = loader.finish();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kUnsupported);
  EXPECT_NE(status.error().what.find("4 tensors"), std::string::npos) << status.error().render();
  EXPECT_NE(status.error().found.find("blk.0.extra_0.weight"), std::string::npos);
  EXPECT_EQ(status.error().found.find("vision_tower"), std::string::npos);
}

TEST_F(Loader, RefusesTypesByName) {
  add("blk.0.ids.weight", DType::kI32, {32, 32});
  add("blk.0.row.weight", DType::kQ8_0, {32});
  add("blk.0.bare.weight", DType::kF8E4M3, {4, 4});
  WeightLoader loader = make();
  EXPECT_NE(error_of(loader.matrix("blk.0.ids", 32, 32)).find("i32"), std::string::npos);
  EXPECT_NE(error_of(loader.vector("blk.0.row", 32)).find("vector of type q8_0"), std::string::npos);
  EXPECT_NE(error_of(loader.matrix("blk.0.bare", 4, 4)).find("is FP8 but has no scale beside it"),
            std::string::npos);
}

TEST_F(Loader, Float8ScalesMustFitTheirMatrix) {
  checkpoint_ = {};
  checkpoint_.dialect = files::Dialect::kHuggingFace;
  add("model.embed_tokens.weight", DType::kF32, {2, 4});
  for (int layer = 0; layer < 3; ++layer) {
    const std::string name = "model.layers." + std::to_string(layer) + ".self_attn.q_proj.weight";
    add(name, DType::kF8E4M3, {130, 256});
    if (layer == 0) add(name + "_scale_inv", DType::kF32, {2, 2});
    if (layer == 1) add(name + "_scale_inv", DType::kF32, {2, 3});
    if (layer == 2) add(name + "_scale", DType::kF32, {1});
  }
  WeightLoader loader = make();
  EXPECT_EQ(error_of(loader.matrix("blk.0.attn_q", 130, 256)), "no error");
  EXPECT_NE(error_of(loader.matrix("blk.1.attn_q", 130, 256)).find("has the wrong shape"), std::string::npos);
  EXPECT_EQ(error_of(loader.matrix("blk.2.attn_q", 130, 256)), "no error");
}

TEST_F(Loader, ThePlanCountsWhatIsPacked) {
  add("output.weight", DType::kF32, {8, 4});
  WeightLoader loader = make();
  const std::size_t matrix = ops_->packed_bytes(DType::kF32, 6, 4).value();
  const std::size_t head = ops_->packed_bytes(DType::kF32, 8, 4).value();
  const std::size_t table = ops_->packed_bytes(DType::kF16, 8, 4).value();
  EXPECT_EQ(planned_weight_bytes(checkpoint_, *ops_, false).value(), matrix + head);
  EXPECT_EQ(planned_weight_bytes(checkpoint_, *ops_, true).value(), matrix + head + table);
  EXPECT_EQ(loader.matrix("blk.0.attn_q", 6, 4)->bytes, matrix);
}

}  // namespace
}  // namespace maestrale::nn
