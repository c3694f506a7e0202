#include "nn/moe.h"

#include <algorithm>
#include <array>
#include <string>

#include "nn/expert_weights.h"

namespace maestrale::nn {
namespace {

std::int64_t parameters_with(const MoeOptions& options, std::int64_t experts) {
  std::int64_t expert = 3 * options.hidden_size * options.ffn_size;
  if (options.expert_bias) expert += 2 * options.ffn_size + options.hidden_size;
  std::int64_t total = experts * expert + options.router.experts * options.hidden_size;
  total +=
      (options.router_bias ? options.router.experts : 0) + (options.choice_bias ? options.router.experts : 0);
  return total + 3 * options.hidden_size * options.shared_ffn_size;
}

const float* data_or_null(const std::vector<float>& values) {
  return values.empty() ? nullptr : values.data();
}

}  // namespace

Result<MixtureOfExperts> MixtureOfExperts::load(WeightLoader& loader, int layer, const MoeOptions& options) {
  MixtureOfExperts block;
  block.options_ = options;
  const std::string prefix = "blk." + std::to_string(layer) + ".";
  const std::int64_t experts = options.router.experts;
  block.router_ = TRY(loader.matrix(prefix + "ffn_gate_inp", experts, options.hidden_size));
  if (options.router_bias) block.router_bias_ = TRY(loader.vector(prefix + "ffn_gate_inp", experts, "bias"));
  if (options.choice_bias) block.choice_bias_ = TRY(loader.vector(prefix + "exp_probs_b", experts, "bias"));
  block.experts_ = TRY(load_experts(loader, layer, options));
  if (options.shared_ffn_size > 0) {
    block.shared_ = TRY(GatedMlp::load(loader, layer,
                                       {.hidden_size = options.hidden_size,
                                        .ffn_size = options.shared_ffn_size,
                                        .activation = options.activation,
                                        .suffix = "_shexp"}));
  }
  return block;
}

std::size_t MixtureOfExperts::workspace_bytes(const MoeOptions& options, std::int64_t rows) {
  Workspace counting;
  counting.floats(rows * options.router.experts);
  counting.integers(rows * options.router.chosen);
  counting.floats(rows * options.router.chosen);
  const std::size_t shared =
      options.shared_ffn_size > 0 ? GatedMlp::workspace_bytes(options.shared_ffn_size, rows) : 0;
  counting.bytes(ops::experts_workspace(rows, options.router, options.hidden_size, options.ffn_size));
  return std::max(counting.used(), shared);
}

void MixtureOfExperts::forward(ops::Ops& ops, const float* x, std::int64_t rows, Workspace workspace,
                               const float* residual, float* out) const {
  const ops::RouterOptions& router = options_.router;
  if (shared_) {
    shared_->forward(ops, x, rows, workspace, residual, out);
    residual = out;
  }
  float* logits = workspace.floats(rows * router.experts);
  const auto choices = static_cast<std::size_t>(rows * router.chosen);
  const ops::Routing routing{.experts = {workspace.integers(rows * router.chosen), choices},
                             .weights = {workspace.floats(rows * router.chosen), choices}};
  const std::array gate = {
      ops::Projection{&router_, logits, router.experts, data_or_null(router_bias_), nullptr}};
  ops.linear(x, rows, options_.hidden_size, gate);
  ops.route(logits, data_or_null(choice_bias_), rows, router, routing);
  const std::size_t bytes = ops::experts_workspace(rows, router, options_.hidden_size, options_.ffn_size);
  ops.experts(x, rows, experts_, routing, workspace.bytes(bytes), residual, out);
}

std::int64_t parameter_count(const MoeOptions& options) {
  return parameters_with(options, options.router.experts);
}

std::int64_t active_parameter_count(const MoeOptions& options) {
  return parameters_with(options, options.router.chosen);
}

}  // namespace maestrale::nn
