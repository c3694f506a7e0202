#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>

#include "tensor/view.h"

namespace maestrale {
namespace {

TEST(DType, TableIsSound) {
  std::set<std::string_view> names;
  std::set<int> ids;
  for (const FormatTraits& format : all_formats()) {
    EXPECT_EQ(&traits(format.dtype), &format);
    EXPECT_TRUE(names.insert(format.name).second) << format.name;
    if (format.ggml_type >= 0) {
      EXPECT_TRUE(ids.insert(format.ggml_type).second) << format.name;
      EXPECT_EQ(dtype_from_ggml(static_cast<std::uint32_t>(format.ggml_type)), format.dtype);
    }
    EXPECT_GT(format.block_elements, 0);
    EXPECT_GT(format.block_bytes, 0);
    const bool integer = (format.name[0] == 'i' && format.name[1] != 'q') || format.name[0] == 'u';
    EXPECT_EQ(format.dequantise == nullptr, integer) << format.name;
    if (integer) {
      EXPECT_EQ(format.quantise, nullptr) << format.name;
    }
  }
}

TEST(DType, LookupsKnowOnlyWhatIsListed) {
  EXPECT_EQ(dtype_from_name("Q4_K"), DType::kQ4_K);
  EXPECT_EQ(dtype_from_name("bf16"), DType::kBF16);
  EXPECT_FALSE(dtype_from_name("").has_value());
  EXPECT_FALSE(dtype_from_name("q4_kx").has_value());
  EXPECT_FALSE(dtype_from_ggml(4).has_value());  // removed from GGUF
  EXPECT_FALSE(dtype_from_ggml(0xffffffffu).has_value());
}

TEST(DType, StorageBytesRefusesWhatDoesNotFit) {
  EXPECT_EQ(storage_bytes(DType::kF32, 3).value(), 12u);
  EXPECT_EQ(storage_bytes(DType::kQ4_K, 512).value(), 288u);
  EXPECT_EQ(storage_bytes(DType::kQ4_K, 0).value(), 0u);
  EXPECT_EQ(storage_bytes(DType::kQ4_K, 300).error().expected, "a multiple of 256");
  EXPECT_FALSE(storage_bytes(DType::kF32, -4).ok());
  EXPECT_FALSE(storage_bytes(DType::kF64, std::numeric_limits<std::int64_t>::max()).ok());
}

TEST(DType, ShapeText) {
  EXPECT_EQ(shape_text({}), "[]");
  const std::int64_t shape[] = {32000, 4096};
  EXPECT_EQ(shape_text(shape), "[32000, 4096]");
}

}  // namespace
}  // namespace maestrale
