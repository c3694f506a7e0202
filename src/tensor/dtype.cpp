#include "tensor/dtype.h"

#include <array>
#include <string>

#include "base/check.h"
#include "tensor/formats/formats.h"
#include "tensor/view.h"

namespace maestrale {
namespace {

constexpr std::array kFormats = {
#define FORMAT(id, name, ggml_type, block_elements, block_bytes) \
  FormatTraits{DType::k##id,                                     \
               name,                                             \
               ggml_type,                                        \
               block_elements,                                   \
               block_bytes,                                      \
               kConversions<DType::k##id>.dequantise,            \
               kConversions<DType::k##id>.quantise},
#include "tensor/formats.def"
#undef FORMAT
};

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_name(std::string_view given, std::string_view name) {
  if (given.size() != name.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (lower(given[i]) != name[i]) return false;
  }
  return true;
}

}  // namespace

const FormatTraits& traits(DType dtype) {
  const auto index = static_cast<std::size_t>(dtype);
  CHECK(index < kFormats.size(), "a DType holds one of its enumerators");
  return kFormats[index];
}

std::span<const FormatTraits> all_formats() { return kFormats; }

std::optional<DType> dtype_from_ggml(std::uint32_t ggml_type) {
  for (const FormatTraits& format : kFormats) {
    if (format.ggml_type >= 0 && static_cast<std::uint32_t>(format.ggml_type) == ggml_type)
      return format.dtype;
  }
  return std::nullopt;
}

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const FormatTraits& format : kFormats) {
    if (same_name(name, format.name)) return format.dtype;
  }
  return std::nullopt;
}

Result<std::size_t> storage_bytes(DType dtype, std::int64_t elements) {
  const FormatTraits& format = traits(dtype);
  if (elements < 0 || elements % format.block_elements != 0) {
    return Error{.what = "this number of elements cannot be stored as " + std::string(format.name),
                 .expected = "a multiple of " + std::to_string(format.block_elements),
                 .found = std::to_string(elements)};
  }
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(elements / format.block_elements, std::int64_t{format.block_bytes}, &bytes)) {
    return Error{.what = "a tensor of type " + std::string(format.name) + " is too large",
                 .expected = "less than 2^63 bytes",
                 .found = std::to_string(elements) + " elements"};
  }
  return static_cast<std::size_t>(bytes);
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(size);
  }
  return text + "]";
}

}  // namespace maestrale
