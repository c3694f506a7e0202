#include "files/gguf_reader.h"

#include <gtest/gtest.h>

#include <functional>

#include "files/test_support.h"

namespace maestrale::files {
namespace {

enum : std::uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

struct Tensor {
  std::string name;
  std::vector<std::uint64_t> ne;
  std::uint32_t type = 0;
  std::uint64_t offset = 0;
};

// What a test may falsify in the small file below.
struct Spec {
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::uint64_t tensor_count = 2;
  std::uint64_t key_count = 5;
  std::string last_key = "llama.block_count";
  std::uint32_t alignment = 32;
  std::uint64_t array_count = 2;
  std::uint32_t array_type = kString;
  std::vector<Tensor> tensors = {{"a.weight", {4, 2}, 0, 0}, {"b.weight", {32, 1}, 8, 32}};
  std::uint64_t data_bytes = 96;
};

std::string small_gguf(const Spec& spec = {}) {
  Bytes out;
  out.raw(spec.magic).put(spec.version).put(spec.tensor_count).put(spec.key_count);
  out.string("general.architecture").put<std::uint32_t>(kString).string("llama");
  out.string("general.alignment").put<std::uint32_t>(kU32).put(spec.alignment);
  out.string("tokenizer.ggml.model").put<std::uint32_t>(kString).string("llama");
  out.string("tokenizer.ggml.tokens").put<std::uint32_t>(kArray).put(spec.array_type).put(spec.array_count);
  out.string("<s>").string("a");
  out.string(spec.last_key).put<std::uint32_t>(kU64).put<std::uint64_t>(7);
  for (const Tensor& tensor : spec.tensors) {
    out.string(tensor.name).put(static_cast<std::uint32_t>(tensor.ne.size()));
    for (const std::uint64_t size : tensor.ne) out.put(size);
    out.put(tensor.type).put(tensor.offset);
  }
  out.pad(32);
  for (std::uint64_t i = 0; i < spec.data_bytes; ++i) out.put(static_cast<std::uint8_t>(i));
  return out.str();
}

TEST(GgufReader, ReadsASmallFile) {
  const std::string bytes = small_gguf();
  const auto file = parse_gguf(as_bytes(bytes), "small.gguf");
  ASSERT_TRUE(file.ok()) << file.error().render();
  EXPECT_EQ(file->metadata.at("general.architecture").as_string(), "llama");
  EXPECT_EQ(file->metadata.at("llama.block_count").as_uint64(), 7u);
  EXPECT_FALSE(file->metadata.contains("tokenizer.ggml.tokens"));
  EXPECT_EQ(file->vocabulary.tokens, (std::vector<std::string>{"<s>", "a"}));
  ASSERT_EQ(file->tensors.size(), 2u);
  EXPECT_EQ(file->tensors[0].shape, (std::vector<std::int64_t>{2, 4}));
  EXPECT_EQ(file->tensors[0].data.size(), 32u);
  EXPECT_EQ(file->tensors[1].dtype, DType::kQ8_0);
  EXPECT_EQ(static_cast<int>(file->tensors[1].data[0]), 32);
}

struct Lie {
  const char* name;
  std::function<void(Spec&)> tell;
  const char* message;  // a part of the error
};

const std::vector<Lie>& lies() {
  static const std::vector<Lie> kLies = {
      {"magic", [](Spec& s) { s.magic = "GGUX"; }, "not a GGUF"},
      {"version 1", [](Spec& s) { s.version = 1; }, "version 1"},
      {"version 4", [](Spec& s) { s.version = 4; }, "version 4"},
      {"big-endian", [](Spec& s) { s.version = 0x03000000; }, "big-endian"},
      {"tensor count", [](Spec& s) { s.tensor_count = 1ull << 60; }, "more tensors"},
      {"tensor count by one", [](Spec& s) { s.tensor_count = 3, s.data_bytes = 2; }, ""},
      {"key count", [](Spec& s) { s.key_count = ~0ull; }, "more keys"},
      {"duplicate key", [](Spec& s) { s.last_key = "general.alignment"; }, "twice"},
      {"empty key", [](Spec& s) { s.last_key = ""; }, "key's name"},
      {"alignment 0", [](Spec& s) { s.alignment = 0; }, "power of two"},
      {"alignment 48", [](Spec& s) { s.alignment = 48; }, "power of two"},
      {"alignment huge", [](Spec& s) { s.alignment = 1u << 31; }, "power of two"},
      {"array count", [](Spec& s) { s.array_count = 1ull << 61; }, "more elements"},
      {"array type", [](Spec& s) { s.array_type = 13; }, "element type"},
      {"array of numbers", [](Spec& s) { s.array_type = kU8; }, "wrong type"},
      {"five dimensions",
       [](Spec& s) {
         s.tensors[0].ne = {1, 1, 1, 1, 1};
       },
       "dimensions"},
      {"zero dimension",
       [](Spec& s) {
         s.tensors[0].ne = {4, 0};
       },
       "dimension is zero"},
      {"overflowing shape",
       [](Spec& s) {
         s.tensors[0].ne = {1ull << 40, 1ull << 40};
       },
       "too large"},
      {"overflowing bytes", [](Spec& s) { s.tensors[0].ne = {1ull << 61}; }, "tensor 'a.weight'"},
      {"unknown type", [](Spec& s) { s.tensors[0].type = 4; }, "GGUF type 4"},
      {"runtime type", [](Spec& s) { s.tensors[0].type = 15; }, "GGUF type 15"},
      {"broken block",
       [](Spec& s) {
         s.tensors[1].ne = {31, 1};
       },
       "multiple of the type's block"},
      {"misaligned", [](Spec& s) { s.tensors[1].offset = 33; }, "not aligned"},
      {"overlap", [](Spec& s) { s.tensors[1].offset = 0; }, "overlaps"},
      {"outside", [](Spec& s) { s.tensors[1].offset = 1ull << 40; }, "outside the file"},
      {"wrapping offset", [](Spec& s) { s.tensors[1].offset = ~0ull - 31; }, "outside the file"},
      {"data cut short", [](Spec& s) { s.data_bytes = 65; }, "outside the file"},
      {"duplicate name", [](Spec& s) { s.tensors[1].name = "a.weight"; }, "same name"},
      {"empty name", [](Spec& s) { s.tensors[1].name = ""; }, "tensor's name"},
      {"long name", [](Spec& s) { s.tensors[1].name = std::string(65, 'x'); }, "tensor's name"},
  };
  return kLies;
}

TEST(GgufReader, RefusesEveryLieWithOneError) {
  for (const Lie& lie : lies()) {
    Spec spec;
    lie.tell(spec);
    const std::string bytes = small_gguf(spec);
    const auto file = parse_gguf(as_bytes(bytes), "lie.gguf");
    ASSERT_FALSE(file.ok()) << lie.name;
    EXPECT_NE(file.error().render().find(lie.message), std::string::npos)
        << lie.name << ": " << file.error().render();
    EXPECT_NE(file.error().render().find("lie.gguf"), std::string::npos) << lie.name;
  }
}

TEST(GgufReader, RefusesDeepNestingAndTooMuchMetadata) {
  Bytes deep;
  deep.raw("GGUF").put<std::uint32_t>(3).put<std::uint64_t>(0).put<std::uint64_t>(1).string("x");
  deep.put<std::uint32_t>(kArray);
  for (int i = 0; i < 1000; ++i) deep.put<std::uint32_t>(kArray).put<std::uint64_t>(1);
  EXPECT_FALSE(parse_gguf(as_bytes(deep.str()), "deep").ok());
  Bytes wide;
  wide.raw("GGUF").put<std::uint32_t>(3).put<std::uint64_t>(0).put<std::uint64_t>(1).string("x");
  wide.put<std::uint32_t>(kArray).put<std::uint32_t>(kU8).put<std::uint64_t>(2 << 20).raw(
      std::string(2 << 20, 'x'));
  const auto file = parse_gguf(as_bytes(wide.str()), "wide");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().kind, ErrorKind::kResource);
}

TEST(GgufReader, SurvivesTruncationAtEveryByte) {
  const std::string bytes = small_gguf();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<char> part(bytes.begin(),
                                 bytes.begin() + static_cast<std::ptrdiff_t>(size));  // exact size
    const auto file = parse_gguf(as_bytes({part.data(), part.size()}), "cut");
    const bool only_padding_lost = size >= bytes.size() - 30;
    EXPECT_EQ(file.ok(), only_padding_lost) << size;
  }
}

TEST(GgufReader, SurvivesEveryBitFlip) {
  const std::string bytes = small_gguf();
  int refused = 0;
  for (std::size_t i = 0; i < bytes.size() - 96; ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::vector<char> changed(bytes.begin(), bytes.end());
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      if (!parse_gguf(as_bytes({changed.data(), changed.size()}), "flip").ok()) ++refused;
    }
  }
  EXPECT_GT(refused, 500);
}

TEST(GgufReader, TakesIntegersOfAnyWidth) {
  Bytes out;
  out.raw("GGUF").put<std::uint32_t>(2).put<std::uint64_t>(0).put<std::uint64_t>(7);
  out.string("u8").put<std::uint32_t>(kU8).put<std::uint8_t>(200);
  out.string("i8").put<std::uint32_t>(kI8).put<std::int8_t>(-3);
  out.string("u16").put<std::uint32_t>(kU16).put<std::uint16_t>(60000);
  out.string("i64").put<std::uint32_t>(kI64).put<std::int64_t>(-1);
  out.string("f64").put<std::uint32_t>(kF64).put(0.5);
  out.string("yes").put<std::uint32_t>(kBool).put<std::uint8_t>(1);
  out.string("tokenizer.ggml.bos_token_id").put<std::uint32_t>(kU32).put<std::uint32_t>(~0u);
  const auto file = parse_gguf(as_bytes(out.str()), "widths");
  ASSERT_TRUE(file.ok()) << file.error().render();
  const JsonFields fields(file->metadata, "widths");
  EXPECT_EQ(fields.integer("u8").value(), 200);
  EXPECT_EQ(fields.integer("i8").value(), -3);
  EXPECT_EQ(fields.integer("u16").value(), 60000);
  EXPECT_EQ(fields.integer("i64").value(), -1);
  EXPECT_EQ(fields.number("f64").value(), 0.5);
  EXPECT_TRUE(fields.boolean_or("yes", false).value());
  EXPECT_FALSE(file->vocabulary.bos.has_value());
}

}  // namespace
}  // namespace maestrale::files
