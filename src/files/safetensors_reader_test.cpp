#include "files/safetensors_reader.h"

#include <gtest/gtest.h>

#include "files/test_support.h"

namespace maestrale::files {
namespace {

constexpr std::string_view kGood =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,2],"data_offsets":[8,16]},)"
    R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";

std::string file_of(std::string_view header, std::size_t data_bytes) {
  Bytes out;
  out.put<std::uint64_t>(header.size()).raw(header).raw(std::string(data_bytes, '\1'));
  return out.str();
}

TEST(SafetensorsReader, ReadsInTheOrderOfTheData) {
  const std::string bytes = file_of(kGood, 16);
  const auto file = parse_safetensors(as_bytes(bytes), "good");
  ASSERT_TRUE(file.ok()) << file.error().render();
  ASSERT_EQ(file->tensors.size(), 2u);
  EXPECT_EQ(file->tensors[0].name, "a");
  EXPECT_EQ(file->tensors[1].dtype, DType::kBF16);
  EXPECT_EQ(file->tensors[1].shape, (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(file->metadata.front().second, "pt");
}

struct Bad {
  std::string_view header;
  std::size_t data_bytes;
  const char* message;
};

TEST(SafetensorsReader, RefusesWhatIsMalformed) {
  const Bad cases[] = {
      {R"([])", 0, "does not begin"},
      {R"({"a":)", 0, "JSON"},
      {R"({} {})", 0, "JSON"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})",
       16, "twice"},
      {R"({"a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}})", 8, "twice"},
      {R"({"a":{"dtype":"F32","shape":[2]}})", 8, "missing"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}})", 8, "unknown field"},
      {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "negative"},
      {R"({"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}})", 8, "integer"},
      {R"({"a":{"dtype":"F32","shape":"2","data_offsets":[0,8]}})", 8, "string"},
      {R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", 8, "array"},
      {R"({"a":{"dtype":"F32","shape":{},"data_offsets":[0,8]}})", 8, "object"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}})", 8, "data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,12]}})", 12, "do not agree"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4, "outside"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9, "end"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12, "hole"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"I8","shape":[4],"data_offsets":[4,8]}})",
       8, "overlaps"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})", 8, "too large"},
      {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 4, "too long"},
      {R"({"a":{"dtype":"U32","shape":[2],"data_offsets":[0,8]}})", 8, "not supported"},
      {R"({"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})", 1, "not supported"},
      {R"({"__metadata__":{"x":1}})", 0, "number"},
      {R"({"a":null})", 0, "null"},
      {R"({"a":1})", 0, "number"},
      {R"({"a":{"dtype":"F32","shape":[99999999999999999999999],"data_offsets":[0,8]}})", 8, "integer"},
  };
  for (const Bad& bad : cases) {
    const std::string bytes = file_of(bad.header, bad.data_bytes);
    const auto file = parse_safetensors(as_bytes(bytes), "bad");
    ASSERT_FALSE(file.ok()) << bad.header;
    EXPECT_NE(file.error().render().find(bad.message), std::string::npos)
        << bad.header << ": " << file.error().render();
  }
}

TEST(SafetensorsReader, RefusesImpossibleHeaderLengths) {
  for (const std::uint64_t length : {std::uint64_t{1000}, std::uint64_t{100'000'001}, ~std::uint64_t{0}}) {
    Bytes out;
    out.put(length).raw(kGood);
    EXPECT_FALSE(parse_safetensors(as_bytes(out.str()), "length").ok());
  }
  EXPECT_FALSE(parse_safetensors({}, "empty").ok());
}

TEST(SafetensorsReader, NamesTheTensorOfAnUnsupportedType) {
  const std::string bytes = file_of(R"({"packed":{"dtype":"U32","shape":[2],"data_offsets":[0,8]}})", 8);
  const std::string error = parse_safetensors(as_bytes(bytes), "mlx").error().render();
  EXPECT_NE(error.find("packed"), std::string::npos) << error;
  EXPECT_NE(error.find("U32"), std::string::npos) << error;
}

TEST(SafetensorsReader, SurvivesTruncationAndBitFlips) {
  const std::string bytes = file_of(kGood, 16);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<char> part(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(parse_safetensors(as_bytes({part.data(), part.size()}), "cut").ok()) << size;
  }
  for (std::size_t i = 0; i < bytes.size() - 16; ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::vector<char> changed(bytes.begin(), bytes.end());
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      (void)parse_safetensors(as_bytes({changed.data(), changed.size()}), "flip").ok();
    }
  }
}

TEST(SafetensorsReader, ReadsEmptyTensorsAndFloat8) {
  const std::string bytes = file_of(
      R"({"e":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]},"s":{"dtype":"F8_E4M3","shape":[],"data_offsets":[0,1]}})",
      1);
  const auto file = parse_safetensors(as_bytes(bytes), "empty");
  ASSERT_TRUE(file.ok()) << file.error().render();
  EXPECT_EQ(file->tensors[1].dtype, DType::kF8E4M3);
  EXPECT_EQ(file->tensors[0].data.size(), 0u);
}

}  // namespace
}  // namespace maestrale::files
