// Q8_0: 32 values, value = code * d with codes of 8 bits.
#include "tensor/formats/blocks.h"
#include "tensor/formats/formats.h"
#include "tensor/formats/simple_fit.h"

namespace maestrale {
namespace {

// Rounds halves away from zero, limited to [-127, 127]; NaN gives -127.
inline std::int8_t round_code(float x) {
  const float bounded = x > -127.0f ? (x < 127.0f ? x : 127.0f) : -127.0f;
  const auto whole = static_cast<int>(bounded);
  const float rest = bounded - static_cast<float>(whole);
  return static_cast<std::int8_t>(whole + (rest >= 0.5f) - (rest <= -0.5f));
}

}  // namespace

void dequantise_q8_0(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  const auto* block = as_blocks<BlockQ8_0>(blocks);
  for (std::int64_t i = 0; i < n; i += 32, ++block) {
    const float d = block->d.value();
    for (int j = 0; j < 32; ++j) out[i + j] = static_cast<float>(block->qs[j]) * d;
  }
}

void quantise_q8_0(const float* values, const float*, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockQ8_0>(blocks);
  for (std::int64_t i = 0; i < n; i += 32, ++block) {
    const float* __restrict x = values + i;
    float largest = 0;
    for (int j = 0; j < 32; ++j) largest = std::fabs(x[j]) > largest ? std::fabs(x[j]) : largest;
    const float d = within_f16(largest / 127.0f);
    const float inverse = d != 0 ? 1.0f / d : 0.0f;
    block->d.store(d);
    std::int8_t codes[32];
    for (int j = 0; j < 32; ++j) codes[j] = round_code(x[j] * inverse);
    for (int j = 0; j < 32; ++j) block->qs[j] = codes[j];
  }
}

}  // namespace maestrale
