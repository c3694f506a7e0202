#include "nn/expert_weights.h"

#include <array>
#include <string>
#include <utility>

#include "files/row_source.h"

namespace maestrale::nn {
namespace {

using files::RowMap;
using files::RowReader;
using files::slice_of;
using ops::LazyWeight;
using ops::MatrixSource;

enum class Part { kGate, kUp, kDown };

// Where the rows of a half of gate and up stand in one tensor.
RowMap row_map(const MoeOptions& options, Part part) {
  if (part == Part::kDown) return {};
  if (options.fused.interleaved) return {part == Part::kUp ? 1 : 0, 2};
  return {part == Part::kUp ? options.ffn_size : 0, 1};
}

class ExpertReader {
 public:
  ExpertReader(WeightLoader& loader, int layer, const MoeOptions& options)
      : loader_(loader), options_(options), prefix_("blk." + std::to_string(layer) + ".ffn_") {}

  Result<ops::ExpertSet> read() {
    auto gate = TRY(matrices(Part::kGate));
    auto up = TRY(matrices(Part::kUp));
    auto down = TRY(matrices(Part::kDown));
    ops::ExpertSet set{.hidden_size = options_.hidden_size,
                       .ffn_size = options_.ffn_size,
                       .gate = std::move(gate),
                       .up = std::move(up),
                       .down = std::move(down),
                       .gate_bias = {},
                       .up_bias = {},
                       .down_bias = {},
                       .activation = options_.activation,
                       .clamp = options_.clamp,
                       .weigh_input = options_.weigh_input};
    if (options_.expert_bias) TRY(biases(set));
    return set;
  }

  Result<std::vector<LazyWeight*>> matrices(Part part) {
    std::vector<LazyWeight*> all = TRY(stored_matrices(part));
    if (!loader_.plans()) TRY(add_changes(part, all));
    return all;
  }

 private:
  Result<std::vector<LazyWeight*>> stored_matrices(Part part) {
    if (loader_.has(prefix_ + word(part) + "_exps")) return stacked(part);
    if (loader_.has(fused_name(part) + "_blocks", "weight")) return blocks(part);
    if (loader_.has(fused_name(part), "weight")) return fused(part);
    std::vector<LazyWeight*> all;
    for (std::int64_t expert = 0; expert < experts(); ++expert) {
      const std::string name = prefix_ + word(part) + "." + std::to_string(expert);
      all.push_back(TRY(loader_.matrix_later(name, rows(part), columns(part))));
    }
    return all;
  }

  // Adapters change the experts one by one, or all of them as one stack.
  Status add_changes(Part part, std::span<LazyWeight* const> all) {
    const std::string name = prefix_ + word(part);
    const auto stacks =
        TRY(loader_.changes_of(name + "_exps", std::array{experts(), rows(part), columns(part)}));
    for (std::int64_t expert = 0; expert < experts(); ++expert) {
      ops::Weight& weight = all[static_cast<std::size_t>(expert)]->weight;
      auto changes =
          TRY(loader_.changes_of(name + "." + std::to_string(expert), std::array{rows(part), columns(part)}));
      for (const WeightLoader::Change& stack : stacks) {
        const std::int64_t rank = stack.b.columns();
        changes.push_back({stack.adapter, stack.scale, slice_of(stack.a, expert, rank, columns(part)),
                           slice_of(stack.b, expert, rows(part), rank)});
      }
      for (const WeightLoader::Change& change : changes) TRY(loader_.add_change(weight, change));
    }
    return {};
  }

  std::int64_t experts() const { return options_.router.experts; }
  std::int64_t rows(Part part) const {
    return part == Part::kDown ? options_.hidden_size : options_.ffn_size;
  }
  std::int64_t columns(Part part) const {
    return part == Part::kDown ? options_.ffn_size : options_.hidden_size;
  }
  static const char* word(Part part) {
    return part == Part::kGate ? "gate" : part == Part::kUp ? "up" : "down";
  }
  // Rows of the tensor that holds the part in a fused file.
  std::int64_t fused_rows(Part part) const { return part == Part::kDown ? rows(part) : 2 * rows(part); }
  std::string fused_name(Part part) const {
    return prefix_ + (part == Part::kDown ? "down_fused" : "gate_up_fused");
  }

  // [experts, rows, columns]
  Result<std::vector<LazyWeight*>> stacked(Part part) {
    const TensorView* tensor = TRY(loader_.claim(prefix_ + word(part) + "_exps", "weight"));
    TRY(loader_.expect_shape(*tensor, std::array{experts(), rows(part), columns(part)}));
    std::vector<LazyWeight*> all;
    for (std::int64_t expert = 0; expert < experts(); ++expert) {
      const TensorView stored = slice_of(*tensor, expert, rows(part), columns(part));
      all.push_back(TRY(loader_.pack_later({.matrix = stored}, stored)));
    }
    return all;
  }

  // Plain numbers, gate and up in one tensor: [experts, outputs, inputs] or [experts, inputs, outputs].
  Result<std::vector<LazyWeight*>> fused(Part part) {
    const TensorView* tensor = TRY(loader_.claim(fused_name(part), "weight"));
    const std::int64_t outputs = fused_rows(part);
    const std::array outputs_first = {experts(), outputs, columns(part)};
    const std::array transposed = {experts(), columns(part), outputs};
    TRY(loader_.expect_shape(*tensor, options_.fused.inputs_first ? transposed : outputs_first));
    const FormatTraits& format = traits(tensor->dtype);
    if (format.block_elements != 1 || format.dequantise == nullptr) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "tensor '" + tensor->name + "' holds experts as " + std::string(format.name),
                   .expected = "f32, f16 or bf16"};
    }
    std::vector<LazyWeight*> all;
    for (std::int64_t expert = 0; expert < experts(); ++expert) {
      const bool inputs_first = options_.fused.inputs_first;
      const TensorView stored = slice_of(*tensor, expert, inputs_first ? columns(part) : outputs,
                                         inputs_first ? outputs : columns(part));
      MatrixSource source{.matrix = {.name = stored.name,
                                     .dtype = stored.dtype,
                                     .shape = {rows(part), columns(part)},
                                     .data = {}},
                          .read_rows = inputs_first ? files::transposed_rows(stored, row_map(options_, part))
                                                    : files::copied_rows(stored, row_map(options_, part))};
      all.push_back(TRY(loader_.pack_later(std::move(source), stored)));
    }
    return all;
  }

  // MXFP4 as gpt-oss publishes it: codes [experts, outputs, inputs / 32, 16], element 2b in the low half of
  // byte b, and exponents [experts, outputs, inputs / 32].
  Result<std::vector<LazyWeight*>> blocks(Part part) {
    constexpr std::int64_t kBlock = 32;
    const TensorView* codes = TRY(loader_.claim(fused_name(part) + "_blocks", "weight"));
    const TensorView* exponents = TRY(loader_.claim(fused_name(part) + "_scales", "weight"));
    const std::int64_t across = columns(part) / kBlock;
    TRY(loader_.expect_shape(*codes, std::array{experts(), fused_rows(part), across, kBlock / 2}));
    TRY(loader_.expect_shape(*exponents, std::array{experts(), fused_rows(part), across}));
    if (codes->dtype != DType::kU8 || exponents->dtype != DType::kU8 || columns(part) % kBlock != 0) {
      return Error{.what = "tensor '" + codes->name + "' is not MXFP4",
                   .expected = "u8 codes and scales of 32 columns"};
    }
    std::vector<LazyWeight*> all;
    for (std::int64_t expert = 0; expert < experts(); ++expert) {
      const TensorView stored = slice_of(*codes, expert, fused_rows(part), columns(part) / 2);
      const TensorView scales = slice_of(*exponents, expert, fused_rows(part), across);
      MatrixSource source{.matrix = {.name = codes->name,
                                     .dtype = DType::kMXFP4,
                                     .shape = {rows(part), columns(part)},
                                     .data = {}},
                          .read_rows = files::mxfp4_rows(stored, scales, row_map(options_, part))};
      all.push_back(TRY(loader_.pack_later(std::move(source), stored)));
    }
    return all;
  }

  Status biases(ops::ExpertSet& set) {
    const std::string fused_bias = fused_name(Part::kGate);
    if (!loader_.has(fused_bias, "bias")) {
      set.gate_bias =
          TRY(loader_.values(prefix_ + "gate_exps", std::array{experts(), options_.ffn_size}, "bias"));
      set.up_bias =
          TRY(loader_.values(prefix_ + "up_exps", std::array{experts(), options_.ffn_size}, "bias"));
      set.down_bias =
          TRY(loader_.values(prefix_ + "down_exps", std::array{experts(), options_.hidden_size}, "bias"));
      return {};
    }
    const std::vector<float> both =
        TRY(loader_.values(fused_bias, std::array{experts(), 2 * options_.ffn_size}, "bias"));
    for (std::int64_t expert = 0; expert < experts(); ++expert) {
      for (const Part part : {Part::kGate, Part::kUp}) {
        const RowMap map = row_map(options_, part);
        std::vector<float>& bias = part == Part::kGate ? set.gate_bias : set.up_bias;
        for (std::int64_t row = 0; row < options_.ffn_size; ++row) {
          bias.push_back(
              both[static_cast<std::size_t>(expert * 2 * options_.ffn_size + map.first + row * map.step)]);
        }
      }
    }
    set.down_bias =
        TRY(loader_.values(fused_name(Part::kDown), std::array{experts(), options_.hidden_size}, "bias"));
    return {};
  }

  WeightLoader& loader_;
  const MoeOptions& options_;
  std::string prefix_;
};

}  // namespace

Result<ops::ExpertSet> load_experts(WeightLoader& loader, int layer, const MoeOptions& options) {
  return ExpertReader(loader, layer, options).read();
}

Status plan_experts(WeightLoader& planner, int layer, const MoeOptions& options) {
  ExpertReader reader(planner, layer, options);
  for (const Part part : {Part::kGate, Part::kUp, Part::kDown}) TRY(reader.matrices(part));
  return {};
}

}  // namespace maestrale::nn
