// Q5_0: 32 values, value = (code - 16) * d. Q5_1: value = code * d + m. Low 4 bits of a code as in Q4_0, its
// fifth bit at the element's place in the u32 qh.
#include "tensor/formats/blocks.h"
#include "tensor/formats/formats.h"
#include "tensor/formats/simple_fit.h"

namespace maestrale {
namespace {

template <class Block>
void unpack_codes(const Block& block, int* codes) {
  const std::uint32_t high = load_u32(block.qh);
  for (unsigned j = 0; j < 16; ++j) {
    codes[j] = (block.qs[j] & 15) | static_cast<int>(((high >> j) & 1) << 4);
    codes[j + 16] = (block.qs[j] >> 4) | static_cast<int>(((high >> (j + 16)) & 1) << 4);
  }
}

template <class Block>
void pack_codes(const std::uint8_t* codes, Block& block) {
  pack_nibbles(codes, block.qs);
  for (int byte = 0; byte < 4; ++byte) {
    unsigned bits = 0;
    for (int j = 0; j < 8; ++j) bits |= (static_cast<unsigned>(codes[8 * byte + j]) >> 4) << j;
    block.qh[byte] = static_cast<std::uint8_t>(bits);
  }
}

}  // namespace

void dequantise_q5_0(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  const auto* block = as_blocks<BlockQ5_0>(blocks);
  for (std::int64_t i = 0; i < n; i += 32, ++block) {
    int codes[32];
    unpack_codes(*block, codes);
    const float d = block->d.value();
    for (int j = 0; j < 32; ++j) out[i + j] = static_cast<float>(codes[j] - 16) * d;
  }
}

void quantise_q5_0(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockQ5_0>(blocks);
  for (std::int64_t i = 0; i < n; i += 32, ++block) {
    std::uint8_t codes[32];
    block->d = fit_signed_codes<16>(values + i, importance ? importance + i : nullptr, codes);
    pack_codes(codes, *block);
  }
}

void dequantise_q5_1(const std::byte* blocks, float* __restrict out, std::int64_t n) {
  const auto* block = as_blocks<BlockQ5_1>(blocks);
  for (std::int64_t i = 0; i < n; i += 32, ++block) {
    int codes[32];
    unpack_codes(*block, codes);
    const float d = block->d.value(), m = block->m.value();
    for (int j = 0; j < 32; ++j) out[i + j] = static_cast<float>(codes[j]) * d + m;
  }
}

void quantise_q5_1(const float* values, const float* importance, std::byte* blocks, std::int64_t n) {
  auto* block = as_blocks<BlockQ5_1>(blocks);
  for (std::int64_t i = 0; i < n; i += 32, ++block) {
    std::uint8_t codes[32];
    const StoredLine line = fit_line_codes<31>(values + i, importance ? importance + i : nullptr, codes);
    block->d = line.d;
    block->m = line.m;
    pack_codes(codes, *block);
  }
}

}  // namespace maestrale
