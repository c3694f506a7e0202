#include "files/llama2c_reader.h"

#include <gtest/gtest.h>

#include "files/checkpoint.h"
#include "files/test_support.h"

namespace maestrale::files {
namespace {

constexpr std::int32_t kSizes[] = {8, 12, 2, 2, 1, 5, 4};
constexpr std::size_t kMatrices = 5 * 8 + 2 * (8 * 8 + 4 * 8 + 4 * 8 + 8 * 8 + 3 * 12 * 8);

std::string version_0(bool shared) {
  Bytes out;
  for (int i = 0; i < 7; ++i) out.put(i == 5 && !shared ? -kSizes[i] : kSizes[i]);
  const std::size_t floats = kMatrices + 5 * 8 + 4 * 4 + (shared ? 0 : 5 * 8);
  for (std::size_t i = 0; i < floats; ++i) out.put(static_cast<float>(i));
  return out.str();
}

std::string version_2() {
  Bytes out;
  out.put<std::uint32_t>(0x616b3432).put<std::int32_t>(2);
  for (const std::int32_t size : kSizes) out.put(size);
  out.put<std::uint8_t>(1).put<std::int32_t>(4).pad(256);
  for (int i = 0; i < 5 * 8; ++i) out.put(1.0f);
  out.raw(std::string(kMatrices + kMatrices / 4 * sizeof(float), '\0'));
  return out.str();
}

TEST(Llama2cReader, ReadsVersion0) {
  for (const bool shared : {true, false}) {
    const std::string bytes = version_0(shared);
    ASSERT_TRUE(looks_like_llama2c(as_bytes(bytes)));
    const auto file = parse_llama2c(as_bytes(bytes), "v0");
    ASSERT_TRUE(file.ok()) << file.error().render();
    EXPECT_EQ(file->vocab_size, 5);
    EXPECT_EQ(file->tensors.size(), shared ? 20u : 21u);
    EXPECT_EQ(file->tensors[0].name, "tok_embeddings.weight");
    EXPECT_EQ(file->metadata.at("shared_classifier").as_bool(), shared);
  }
}

TEST(Llama2cReader, GivesVersion2ItsScales) {
  const std::string bytes = version_2();
  const auto file = parse_llama2c(as_bytes(bytes), "v2");
  ASSERT_TRUE(file.ok()) << file.error().render();
  EXPECT_EQ(file->metadata.at("group_size").as_int64(), 4);
  const auto wk = std::find_if(file->tensors.begin(), file->tensors.end(),
                               [](const TensorView& t) { return t.name == "layers.1.attention.wk.weight"; });
  ASSERT_NE(wk, file->tensors.end());
  EXPECT_EQ(wk->dtype, DType::kI8);
  EXPECT_EQ(wk->shape, (std::vector<std::int64_t>{4, 8}));
  EXPECT_EQ((wk + 1)->name, "layers.1.attention.wk.weight.scale");
  EXPECT_EQ((wk + 1)->shape, (std::vector<std::int64_t>{8}));
}

TEST(Llama2cReader, RefusesEveryOtherSize) {
  for (const std::string& bytes : {version_0(true), version_2()}) {
    for (std::size_t size = 0; size < bytes.size(); size += 7) {
      const std::vector<char> part(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_FALSE(parse_llama2c(as_bytes({part.data(), part.size()}), "cut").ok()) << size;
    }
    EXPECT_FALSE(parse_llama2c(as_bytes(bytes + "x"), "long").ok());
    for (std::size_t i = 0; i < 48; ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string changed = bytes;
        changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
        (void)parse_llama2c(as_bytes(changed), "flip").ok();
      }
    }
  }
}

TEST(Llama2cReader, VersionsHoldTheSameNumbers) {
  const std::filesystem::path models = shared_folder("data/models");
  if (models.empty()) GTEST_SKIP() << "no shared data";
  const auto old = open_checkpoint(models / "stories260K.bin", {.load_tokenizer = false});
  const auto later = open_checkpoint(models / "stories260K_v1.bin", {.load_tokenizer = false});
  ASSERT_TRUE(old.ok() && later.ok());
  for (const TensorView& tensor : later->tensors) {
    const TensorView* other = old->find(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    EXPECT_TRUE(std::equal(tensor.data.begin(), tensor.data.end(), other->data.begin(), other->data.end()))
        << tensor.name;
  }
}

TEST(Llama2cTokenizer, FitsOnlyTheRightNumberOfEntries) {
  Bytes out;
  out.put<std::uint32_t>(1);
  for (int i = 0; i < 3; ++i) out.put(0.0f).put<std::uint32_t>(1).raw("x");
  EXPECT_TRUE(fits_llama2c_tokenizer(out.str(), 3));
  EXPECT_FALSE(fits_llama2c_tokenizer(out.str(), 2));
  EXPECT_FALSE(fits_llama2c_tokenizer(out.str(), 4));
  EXPECT_FALSE(fits_llama2c_tokenizer("", 1));
}

}  // namespace
}  // namespace maestrale::files
