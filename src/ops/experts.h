// What a mixture of experts needs of a device: matrices that are packed when they are first used, the choice
// of experts for each token, and the products with the chosen ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "tensor/view.h"

namespace maestrale::ops {

struct LowRankChanges;

// A weight matrix [rows = outputs, columns = inputs] in the device's own layout. Owned by the Ops that packed
// it.
struct Weight {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  const void* layout = nullptr;  // the device's description of `data`
  const std::byte* data = nullptr;
  std::size_t bytes = 0;
  const LowRankChanges* changes = nullptr;  // what adapters add to its products (ops/ops.h), or null
};

// Bytes of the experts' matrices: all that are reserved, and those that products have read so far, each
// matrix once for each call that used it.
struct ExpertTraffic {
  std::uint64_t reserved = 0, read = 0;
};

// Where a matrix comes from that is packed later. What it points to must outlive the Ops.
struct MatrixSource {
  TensorView matrix;  // [rows, columns]; data is empty where `read_rows` makes the rows
  // out = rows [first, first + count) as matrix.dtype stores them; null: they lie in matrix.data.
  std::function<void(std::int64_t first, std::int64_t count, std::byte* out)> read_rows = {};
  const TensorView* scales = nullptr;  // FP8: one value per block_rows × block_columns; null: none
  std::int64_t block_rows = 0, block_columns = 0;
  std::function<void()> done = {};  // called once it is packed: its pages may leave memory; may be null
};

// A matrix whose room is reserved and that is packed when it is first used. Owned by the Ops.
struct LazyWeight {
  Weight weight;
  bool packed = false;
  MatrixSource source;
};

enum class Activation : std::uint8_t { kSilu, kGeluTanh, kGelu, kClampedSwiglu };

// The experts of one layer, all of one shape. Expert e: down_e · act(gate_e · x, up_e · x), biases where
// there are any.
struct ExpertSet {
  std::int64_t hidden_size = 0, ffn_size = 0;
  std::vector<LazyWeight*> gate, up, down;           // one per expert
  std::vector<float> gate_bias, up_bias, down_bias;  // [experts][ffn or hidden], or empty
  Activation activation = Activation::kSilu;
  float clamp = 0;           // kClampedSwiglu: gate ≤ clamp, |up| ≤ clamp
  bool weigh_input = false;  // Llama 4: the router's weight multiplies an expert's input, not its output
};

enum class RouterScore : std::uint8_t { kSoftmax, kSigmoid };
enum class GroupScore : std::uint8_t { kBest, kSumOfTwoBest };

// From a token's router logits to its experts and their weights. Softmax with `renormalise` is the softmax of
// the chosen logits alone (Mixtral, gpt-oss).
struct RouterOptions {
  int experts = 0, chosen = 0;
  RouterScore score = RouterScore::kSoftmax;
  bool renormalise = false;         // the weights of the chosen sum to 1
  float scale = 1;                  // multiplies the weights
  float logit_cap = 0;              // logits become cap · tanh(logit / cap); 0: as they are
  int groups = 1, groups_kept = 1;  // experts of the best groups only may be chosen
  GroupScore group_score = GroupScore::kBest;
};

// Choices of `rows` tokens: [rows, chosen], the best first.
struct Routing {
  std::span<std::int32_t> experts;
  std::span<float> weights;
};

// One token: logits [experts]; `correction` [experts] is added to the scores for the choice alone, or null.
// Where scores are equal the lower expert wins.
void route_token(const RouterOptions& options, const float* logits, const float* correction,
                 std::int32_t* experts, float* weights);

// Bytes of workspace that Ops::experts() takes for so many rows.
std::size_t experts_workspace(std::int64_t rows, const RouterOptions& router, std::int64_t hidden_size,
                              std::int64_t ffn_size);

constexpr int kMaxExperts = 1024;
constexpr int kMaxChosen = 64;

}  // namespace maestrale::ops
