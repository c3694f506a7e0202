// KernelTable: the inner loops of one instruction set, as plain function pointers. Every table gives the same
// bits for the same input. Freestanding: included by the files of one instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention_tile.h"
#include "kernels/float_layout.h"
#include "kernels/latent_tile.h"
#include "kernels/panel_layout.h"
#include "kernels/recurrent_step.h"

namespace maestrale::kernels {

// Where a product goes: out[m * stride + row] = value (+ bias[row]) (+ residual[m * stride + row]) for rows
// [0, row_limit) of the given panels. `residual` may be `out` itself.
struct MatmulOutput {
  float* out = nullptr;
  std::int64_t stride = 0;
  std::int64_t row_limit = 0;       // what lies beyond is not stored
  const float* bias = nullptr;      // or null
  const float* residual = nullptr;  // or null
};

// Panels of one matrix, from a first one on: `count` in a row, and as many again from each of `streams`
// places that lie `apart` panels from one to the next. Memory gives more to one core in several long streams
// than in one.
struct PanelRange {
  std::int64_t count = 0;
  std::int64_t streams = 1;
  std::int64_t apart = 0;
};

struct KernelTable {
  const char* name;  // "ref", "avx2", "avx512"

  // --- quantised weights (quantised_*.h) ---
  // One row of activations to int8: `out` holds activation_bytes(columns), 64-byte aligned; columns % 32 ==
  // 0.
  void (*quantise_row)(const float* x, std::int64_t columns, std::byte* out);
  // to[m][row] = panels[row] · activations[m]. panels: of panel_bytes(layout, columns) each, 64-byte aligned.
  // activations: activation_count quantised rows, one after the other. scratch: matmul_scratch_bytes of the
  // calling thread, 64-byte aligned.
  void (*matmul)(const PanelLayout* layout, const std::byte* panels, const PanelRange& range,
                 std::int64_t columns, const std::byte* activations, std::int64_t activation_count,
                 const MatmulOutput& to, std::byte* scratch);
  // The streams in which matmul reads best; with any others it gives the same.
  std::int64_t (*matmul_streams)(const PanelLayout* layout, std::int64_t activation_count);
  std::size_t matmul_scratch_bytes;

  // --- yardsticks (yardsticks.h): what this core can do, for bench/ to compare with ---
  // About `count` dot products of 64 bytes on registers alone; the result only keeps them alive.
  std::int32_t (*dot_yardstick)(std::int64_t count);
  // Reads `bytes` (a multiple of 1024) once, in order.
  std::int32_t (*read_yardstick)(const std::byte* data, std::size_t bytes);

  // --- floating-point weights (float_matmul.h) ---
  // As matmul, with panels of float_panel_bytes(layout, columns) and activations x[rows][columns].
  void (*matmul_float)(const FloatLayout& layout, const std::byte* panels, std::int64_t panel_count,
                       std::int64_t columns, const float* x, std::int64_t rows, const MatmulOutput& to);

  // --- one row (elementwise.h) ---
  void (*rms_norm)(const float* x, const float* weight, float eps, std::int64_t n, float* out);
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, std::int64_t n,
                     float* out);
  void (*silu_multiply)(const float* gate, const float* up, std::int64_t n, float* out);
  void (*gelu_multiply)(const float* gate, const float* up, std::int64_t n, float* out);
  void (*exact_gelu_multiply)(const float* gate, const float* up, std::int64_t n, float* out);
  void (*clamped_swiglu)(const float* gate, const float* up, float clamp, std::int64_t n, float* out);
  void (*soft_cap)(float* x, std::int64_t n, float cap);
  void (*add_to)(const float* x, std::int64_t n, float* to);

  // --- attention (attention.h) ---
  void (*attend)(const AttentionTile& tile);

  // --- latent attention (latent_attention.h) ---
  void (*attend_latent)(const LatentTile& tile);
  // Joins a part with those before it, and divides when all are joined. `width`: of a row's output.
  void (*join_latent)(const LatentPart& part, int rows, int width, const LatentPart& into);
  void (*finish_latent)(const LatentPart& part, int rows, int width);
  // Adds the tile's queries' ratings of one page's keys to out[kPageTokens]; slots beyond the token are not
  // touched or may hold anything. Uses tile.queries, positions[0], pages, offset and scores.
  void (*rate_page)(const LatentTile& tile, std::int64_t page, const float* weights, float* out);

  // --- recurrent layers (recurrent.h) ---
  // out = silu(bias + Σ weight[k] · input k) of n channels; the inputs are the width - 1 rows of `state`
  // ([width - 1][state_stride], the oldest first) and x; then the state moves on by x. weight:
  // [width][stride].
  void (*conv_step)(const ConvStep& step);
  // state[p][:] = decay · state[p][:] + x[p] · in[:]; out[p] = state[p][:] · result[:] for head_size rows p.
  void (*scan_step)(const ScanStep& step);
};

}  // namespace maestrale::kernels
