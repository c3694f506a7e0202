// The same experts in every form that files have them in: packed, they are the same bytes.
#include "nn/expert_weights.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::nn {
namespace {

constexpr std::int64_t kExperts = 3, kHidden = 64, kFfn = 32;

MoeOptions options(FusedExperts fused = {}) {
  MoeOptions moe;
  moe.hidden_size = kHidden;
  moe.ffn_size = kFfn;
  moe.router.experts = kExperts;
  moe.router.chosen = 1;
  moe.fused = fused;
  return moe;
}

// Small integers, so that every type holds them exactly. part: 0 gate, 1 up, 2 down.
float value(int part, std::int64_t expert, std::int64_t row, std::int64_t column) {
  const auto index = static_cast<std::uint64_t>((expert * 100 + row) * 100 + column);
  constexpr float kLevels[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.5f, -1, -1.5f, -2, -3, -4, -6};
  return kLevels[static_cast<std::size_t>(uniform(static_cast<std::uint64_t>(part), 0, index) * 15)];
}

// A checkpoint made tensor by tensor.
class File {
 public:
  explicit File(files::Dialect dialect) {
    checkpoint.dialect = dialect;
    checkpoint.path = "test";
  }

  template <class At>
  void add(const std::string& name, std::vector<std::int64_t> shape, DType dtype, const At& at) {
    TensorView tensor{.name = name, .dtype = dtype, .shape = std::move(shape), .data = {}};
    std::vector<float> values;
    for (std::int64_t i = 0; i < tensor.elements(); ++i) values.push_back(at(i));
    std::vector<std::byte> bytes(*storage_bytes(dtype, tensor.elements()));
    traits(dtype).quantise(values.data(), nullptr, bytes.data(), tensor.elements());
    add_bytes(std::move(tensor), std::move(bytes));
  }

  void add_bytes(TensorView tensor, std::vector<std::byte> bytes) {
    storage.push_back(std::make_unique<std::vector<std::byte>>(std::move(bytes)));
    tensor.data = *storage.back();
    checkpoint.tensors.push_back(std::move(tensor));
  }

  // One matrix of one expert, as a tensor of its own.
  void add_matrix(const std::string& name, int part, std::int64_t expert, DType dtype) {
    const std::int64_t rows = part == 2 ? kHidden : kFfn, columns = part == 2 ? kFfn : kHidden;
    add(name, {rows, columns}, dtype,
        [=](std::int64_t i) { return value(part, expert, i / columns, i % columns); });
  }

  files::Checkpoint checkpoint;
  std::vector<std::unique_ptr<std::vector<std::byte>>> storage;
};

struct Packed {
  std::vector<std::vector<std::byte>> matrices;  // gate, up and down of each expert in turn
  std::string error;
};

Packed pack(File& file, const MoeOptions& moe) {
  file.checkpoint.index_tensors();
  const auto ops = std::move(ops::make_cpu_ops("ref", 1)).value();
  WeightLoader planner(file.checkpoint, *ops);
  Packed packed;
  if (const Status planned = plan_experts(planner, 0, moe); !planned.ok()) {
    packed.error = planned.error().render();
    return packed;
  }
  EXPECT_TRUE(ops->reserve_weights(planner.planned_bytes()).ok());
  WeightLoader loader(file.checkpoint, *ops, {});
  ops::ExpertSet set = std::move(load_experts(loader, 0, moe)).value();
  EXPECT_TRUE(loader.finish().ok());
  for (std::size_t expert = 0; expert < kExperts; ++expert) {
    for (ops::LazyWeight* matrix : {set.gate[expert], set.up[expert], set.down[expert]}) {
      dynamic_cast<ops::CpuOps&>(*ops).pack_now(*matrix);
      packed.matrices.emplace_back(matrix->weight.data, matrix->weight.data + matrix->weight.bytes);
    }
  }
  return packed;
}

constexpr const char* kParts[] = {"gate", "up", "down"};

File one_by_one(files::Dialect dialect, DType dtype) {
  File file(dialect);
  for (std::int64_t expert = 0; expert < kExperts; ++expert) {
    const std::string number = std::to_string(expert);
    for (int part = 0; part < 3; ++part) {
      const std::string name = dialect == files::Dialect::kGguf
                                   ? std::string("blk.0.ffn_") + kParts[part] + "." + number
                                   : "model.layers.0.mlp.experts." + number + "." + kParts[part] + "_proj";
      file.add_matrix(name + ".weight", part, expert, dtype);
    }
  }
  return file;
}

TEST(ExpertWeights, OfOneTensorPerExpertHaveTheirNamesInEveryDialect) {
  File hugging_face = one_by_one(files::Dialect::kHuggingFace, DType::kBF16);
  File old_gguf = one_by_one(files::Dialect::kGguf, DType::kBF16);
  File mistral(files::Dialect::kMistral);
  for (std::int64_t expert = 0; expert < kExperts; ++expert) {
    const std::string prefix = "layers.0.feed_forward.experts." + std::to_string(expert) + ".";
    mistral.add_matrix(prefix + "w1.weight", 0, expert, DType::kBF16);
    mistral.add_matrix(prefix + "w3.weight", 1, expert, DType::kBF16);
    mistral.add_matrix(prefix + "w2.weight", 2, expert, DType::kBF16);
  }
  const Packed expected = pack(hugging_face, options());
  EXPECT_EQ(expected.error, "");
  EXPECT_EQ(pack(old_gguf, options()).matrices, expected.matrices);
  EXPECT_EQ(pack(mistral, options()).matrices, expected.matrices);
}

TEST(ExpertWeights, OfOneTensorPerMatrix) {
  File expected = one_by_one(files::Dialect::kGguf, DType::kQ8_0);
  File stacked(files::Dialect::kGguf);
  for (int part = 0; part < 3; ++part) {
    const std::int64_t rows = part == 2 ? kHidden : kFfn, columns = part == 2 ? kFfn : kHidden;
    stacked.add(
        std::string("blk.0.ffn_") + kParts[part] + "_exps.weight", {kExperts, rows, columns}, DType::kQ8_0,
        [=](std::int64_t i) { return value(part, i / (rows * columns), i / columns % rows, i % columns); });
  }
  EXPECT_EQ(pack(stacked, options()).matrices, pack(expected, options()).matrices);
}

// Gate and up in one tensor: halves or turns, outputs or inputs first.
TEST(ExpertWeights, OfGateAndUpInOneTensor) {
  File separate = one_by_one(files::Dialect::kHuggingFace, DType::kBF16);
  const Packed expected = pack(separate, options());
  for (const bool interleaved : {false, true}) {
    for (const bool inputs_first : {false, true}) {
      const auto gate_up = [=](std::int64_t expert, std::int64_t row, std::int64_t column) {
        const int part = interleaved ? static_cast<int>(row % 2) : row >= kFfn;
        return value(part, expert, interleaved ? row / 2 : row % kFfn, column);
      };
      File file(files::Dialect::kHuggingFace);
      const std::string prefix = "model.layers.0.mlp.experts.";
      if (inputs_first) {
        file.add(prefix + "gate_up_proj", {kExperts, kHidden, 2 * kFfn}, DType::kBF16, [&](std::int64_t i) {
          return gate_up(i / (kHidden * 2 * kFfn), i % (2 * kFfn), i / (2 * kFfn) % kHidden);
        });
        file.add(prefix + "down_proj", {kExperts, kFfn, kHidden}, DType::kBF16, [&](std::int64_t i) {
          return value(2, i / (kHidden * kFfn), i % kHidden, i / kHidden % kFfn);
        });
      } else {
        file.add(prefix + "gate_up_proj", {kExperts, 2 * kFfn, kHidden}, DType::kBF16, [&](std::int64_t i) {
          return gate_up(i / (kHidden * 2 * kFfn), i / kHidden % (2 * kFfn), i % kHidden);
        });
        file.add(prefix + "down_proj", {kExperts, kHidden, kFfn}, DType::kBF16, [&](std::int64_t i) {
          return value(2, i / (kHidden * kFfn), i / kFfn % kHidden, i % kFfn);
        });
      }
      const Packed packed = pack(file, options({.interleaved = interleaved, .inputs_first = inputs_first}));
      EXPECT_EQ(packed.matrices, expected.matrices)
          << interleaved << " " << inputs_first << " " << packed.error;
    }
  }
}

// gpt-oss: neighbours share a byte, where GGUF's blocks pair elements j and j + 16; exponents stand apart.
TEST(ExpertWeights, OfPublishedMxfp4Blocks) {
  File separate = one_by_one(files::Dialect::kHuggingFace, DType::kMXFP4);
  File file(files::Dialect::kHuggingFace);
  for (const bool down : {false, true}) {
    const std::int64_t rows = down ? kHidden : 2 * kFfn, columns = down ? kFfn : kHidden;
    std::vector<std::byte> codes, exponents;
    for (std::int64_t i = 0; i < kExperts * rows; ++i) {
      const std::int64_t row = i % rows;
      std::vector<float> values;
      for (std::int64_t c = 0; c < columns; ++c) {
        values.push_back(value(down ? 2 : static_cast<int>(row % 2), i / rows, down ? row : row / 2, c));
      }
      for (std::int64_t block = 0; block < columns / 32; ++block) {
        std::byte stored[17];
        traits(DType::kMXFP4).quantise(values.data() + block * 32, nullptr, stored, 32);
        exponents.push_back(stored[0]);
        const auto code = [&](int j) {
          return static_cast<unsigned>(stored[1 + j % 16]) >> (j < 16 ? 0 : 4) & 15u;
        };
        for (int b = 0; b < 16; ++b)
          codes.push_back(static_cast<std::byte>(code(2 * b) | code(2 * b + 1) << 4));
      }
    }
    const std::string name =
        std::string("model.layers.0.mlp.experts.") + (down ? "down_proj" : "gate_up_proj");
    file.add_bytes({.name = name + "_blocks",
                    .dtype = DType::kU8,
                    .shape = {kExperts, rows, columns / 32, 16},
                    .data = {}},
                   codes);
    file.add_bytes(
        {.name = name + "_scales", .dtype = DType::kU8, .shape = {kExperts, rows, columns / 32}, .data = {}},
        exponents);
  }
  const Packed packed = pack(file, options({.interleaved = true, .inputs_first = true}));
  EXPECT_EQ(packed.matrices, pack(separate, options()).matrices) << packed.error;
}

TEST(ExpertWeights, OfWrongShapesAndMissingExpertsAreRefused) {
  File missing = one_by_one(files::Dialect::kGguf, DType::kBF16);
  missing.checkpoint.tensors.pop_back();
  EXPECT_NE(pack(missing, options()).error.find("blk.0.ffn_down.2.weight"), std::string::npos);
  File wrong(files::Dialect::kGguf);
  for (const char* part : kParts) {
    wrong.add(std::string("blk.0.ffn_") + part + "_exps.weight", {kExperts + 1, kFfn, kHidden}, DType::kBF16,
              [](std::int64_t) { return 1.0f; });
  }
  EXPECT_NE(pack(wrong, options()).error.find("wrong shape"), std::string::npos);
}

}  // namespace
}  // namespace maestrale::nn
