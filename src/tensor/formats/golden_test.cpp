// Every format against golden blocks and values: dequantisation bit for bit, quantisation by bytes or by
// error.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "tensor/dtype.h"
#include "tensor/formats/fp8.h"

namespace maestrale {
namespace {

class Golden : public testing::Test {
 protected:
  void SetUp() override {
    const char* shared = std::getenv("MAESTRALE_SHARED");
    folder_ =
        std::filesystem::path(shared != nullptr && *shared != '\0' ? shared : "../shared") / "golden/quants";
    if (!std::filesystem::exists(folder_ / "index.json"))
      GTEST_SKIP() << "no golden/quants; set MAESTRALE_SHARED";
    const std::string text = read_file(folder_ / "index.json", 1 << 20).value();
    index_ = parse_json(text, "index.json").value();
  }

  std::string bytes(const std::string& name) const { return read_file(folder_ / name, 1 << 24).value(); }

  std::vector<float> floats(const std::string& name) const {
    const std::string raw = bytes(name);
    std::vector<float> values(raw.size() / sizeof(float));
    std::memcpy(values.data(), raw.data(), raw.size());
    return values;
  }

  std::filesystem::path folder_;
  json::value index_;
};

const std::byte* as_bytes(const std::string& bytes) {
  return reinterpret_cast<const std::byte*>(bytes.data());
}

void expect_same_bits(const std::vector<float>& got, const std::vector<float>& expected,
                      const std::string& what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(expected[i]))
        << what << " element " << i << ": got " << got[i] << ", expected " << expected[i];
  }
}

double relative_rmse(const std::vector<float>& got, const std::vector<float>& source) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < source.size(); ++i) {
    const double difference = static_cast<double>(got[i]) - static_cast<double>(source[i]);
    error += difference * difference;
    norm += static_cast<double>(source[i]) * static_cast<double>(source[i]);
  }
  return std::sqrt(error / norm);
}

TEST_F(Golden, DequantisesBitForBit) {
  for (const json::value& entry : index_.at("types").as_array()) {
    const std::string name(entry.at("name").as_string());
    const std::optional<DType> dtype = dtype_from_name(name);
    ASSERT_TRUE(dtype.has_value()) << name;
    const FormatTraits& format = traits(*dtype);
    EXPECT_EQ(format.ggml_type, entry.at("ggml_type").as_int64()) << name;
    EXPECT_EQ(format.block_elements, entry.at("block_elements").as_int64()) << name;
    EXPECT_EQ(format.block_bytes, entry.at("block_bytes").as_int64()) << name;
    for (const std::string& stem : {name, name + ".random"}) {
      const std::string blocks = bytes(stem + ".bin");
      const std::vector<float> expected = floats(stem + ".f32");
      ASSERT_EQ(storage_bytes(*dtype, static_cast<std::int64_t>(expected.size())).value(), blocks.size())
          << stem;
      std::vector<float> got(expected.size());
      format.dequantise(as_bytes(blocks), got.data(), static_cast<std::int64_t>(got.size()));
      expect_same_bits(got, expected, stem);
    }
  }
}

TEST_F(Golden, DequantisesAtAnyAddress) {
  for (const FormatTraits& format : all_formats()) {
    const std::string name(format.name);
    if (format.dequantise == nullptr || !std::filesystem::exists(folder_ / (name + ".random.bin"))) continue;
    const std::string shifted = "x" + bytes(name + ".random.bin");
    const std::vector<float> expected = floats(name + ".random.f32");
    std::vector<float> got(expected.size());
    format.dequantise(as_bytes(shifted) + 1, got.data(), static_cast<std::int64_t>(got.size()));
    expect_same_bits(got, expected, name);
  }
}

TEST_F(Golden, QuantisesAsWellAsTheReference) {
  const std::vector<float> source = floats("source.f32");
  const auto n = static_cast<std::int64_t>(source.size());
  for (const json::value& entry : index_.at("types").as_array()) {
    const std::string name(entry.at("name").as_string());
    const FormatTraits& format = traits(*dtype_from_name(name));
    if (format.quantise == nullptr) continue;
    std::string blocks(storage_bytes(format.dtype, n).value(), '\0');
    format.quantise(source.data(), nullptr, reinterpret_cast<std::byte*>(blocks.data()), n);
    std::vector<float> got(source.size());
    format.dequantise(as_bytes(blocks), got.data(), n);
    const double limit = entry.at("relative_rmse_of_quantisation").as_double();
    const double rmse = relative_rmse(got, source);
    EXPECT_LE(rmse, limit * 1.0001 + 1e-6) << name;
    RecordProperty("rmse_" + name, std::to_string(rmse) + " of " + std::to_string(limit));
    const bool simple =
        entry.at("gguf_py_quantised_bytes").as_string() == "same" || name == "q1_0" || name == "q2_0";
    if (simple) {
      EXPECT_TRUE(blocks == bytes(name + ".bin")) << name << ": other bytes than the reference";
    }
  }
}

TEST_F(Golden, DequantisesFp8Blocks) {
  for (const json::value& entry : index_.at("fp8").as_array()) {
    const std::string name(entry.at("name").as_string());
    const std::int64_t rows = entry.at("shape").at(0).as_int64(),
                       columns = entry.at("shape").at(1).as_int64();
    const std::string codes = bytes(name + ".bin");
    const std::vector<float> scale_inv = floats(name + ".scale_inv.f32"), expected = floats(name + ".f32");
    std::vector<float> got(expected.size());
    ASSERT_EQ(static_cast<std::size_t>(rows * columns), got.size());
    dequantise_fp8_blocks(as_bytes(codes), rows, columns, scale_inv.data(), 128, 128, got.data());
    expect_same_bits(got, expected, name);
  }
}

}  // namespace
}  // namespace maestrale
