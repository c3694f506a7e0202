// DType: how the numbers of a tensor are stored. One row per type in formats.def; everything else (names, GGUF
// ids, sizes, conversions) is derived from that list. Only tensor/ may switch over a DType.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"

namespace maestrale {

enum class DType : std::uint8_t {
#define FORMAT(id, name, ggml_type, block_elements, block_bytes) k##id,
#include "tensor/formats.def"
#undef FORMAT
};

// Facts of one storage type. Rows are stored block after block, block_elements values in block_bytes bytes.
struct FormatTraits {
  DType dtype;
  std::string_view name;  // lower case, as users write it: "q4_k"
  int ggml_type;          // id in GGUF files, -1 where GGUF has none
  int block_elements;
  int block_bytes;
  // out[0..n) = exact values of n elements (n a multiple of block_elements). Null for integer index types.
  void (*dequantise)(const std::byte* blocks, float* out, std::int64_t n);
  // blocks = n values rounded into this type. `importance` (n weights, or null) guides types that can use it.
  // Null where we do not write this type.
  void (*quantise)(const float* values, const float* importance, std::byte* blocks, std::int64_t n);
};

const FormatTraits& traits(DType dtype);
std::span<const FormatTraits> all_formats();
std::optional<DType> dtype_from_ggml(std::uint32_t ggml_type);
std::optional<DType> dtype_from_name(std::string_view name);  // case-insensitive
// Bytes of n elements; error where n is not a multiple of the block or the product overflows.
Result<std::size_t> storage_bytes(DType dtype, std::int64_t elements);

}  // namespace maestrale
