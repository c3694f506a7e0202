#include "files/adapter.h"

#include "base/file.h"
#include "files/test_support.h"

namespace maestrale::files {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kConfig = R"({"peft_type": "LORA", "r": 2, "lora_alpha": 8, "bias": "none"})";
constexpr std::string_view kQ = "base_model.model.model.layers.0.self_attn.q_proj.";

// Two F32 tensors: A [2, 4] and B [6, 2], under the given names.
std::string weights(const std::string& a, const std::string& b, const char* b_shape = "[6,2]") {
  const std::string header = "{\"" + a + R"(":{"dtype":"F32","shape":[2,4],"data_offsets":[0,32]},")" + b +
                             "\":{\"dtype\":\"F32\",\"shape\":" + b_shape + R"(,"data_offsets":[32,80]}})";
  Bytes out;
  out.put<std::uint64_t>(header.size()).raw(header);
  for (int i = 0; i < 20; ++i) out.put<float>(static_cast<float>(i));
  return out.str();
}

void write(const fs::path& path, std::string_view text) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(std::fwrite(text.data(), 1, text.size(), file), text.size());
  ASSERT_EQ(std::fclose(file), 0);
}

fs::path folder_with(const std::string& name, std::string_view config, std::string_view tensors) {
  const fs::path folder = fresh_folder(name);
  write(folder / "adapter_config.json", config);
  write(folder / "adapter_model.safetensors", tensors);
  return folder;
}

std::string refusal(const fs::path& path) {
  const auto adapter = open_adapter(path);
  return adapter.ok() ? "" : adapter.error().render();
}

TEST(Adapter, OfPeft) {
  const std::string q(kQ);
  for (const char* tail : {".weight", ".default.weight"}) {
    const fs::path folder = folder_with("peft", kConfig, weights(q + "lora_A" + tail, q + "lora_B" + tail));
    const auto adapter = open_adapter(folder / "adapter_model.safetensors");
    ASSERT_TRUE(adapter.ok()) << adapter.error().render();
    EXPECT_FALSE(adapter->gguf);
    ASSERT_TRUE(adapter->pairs.contains("layers.0.self_attn.q_proj"));
    EXPECT_EQ(adapter->pairs.at("layers.0.self_attn.q_proj").b.shape, (std::vector<std::int64_t>{6, 2}));
    EXPECT_EQ(adapter->scale(2), 4);
  }
  const fs::path stable =
      folder_with("stable", R"({"peft_type": "LORA", "lora_alpha": 8, "use_rslora": true})",
                  weights(q + "lora_A.weight", q + "lora_B.weight"));
  EXPECT_EQ(open_adapter(stable)->scale(4), 4);
}

TEST(Adapter, OfPeftThatWeDoNotDo) {
  const std::string q(kQ), good = weights(q + "lora_A.weight", q + "lora_B.weight");
  for (const char* key : {"use_dora", "fan_in_fan_out"}) {
    const std::string config =
        R"({"peft_type": "LORA", "lora_alpha": 8, ")" + std::string(key) + R"(": true})";
    EXPECT_NE(refusal(folder_with("no", config, good)).find(key), std::string::npos);
  }
  EXPECT_NE(
      refusal(folder_with("no", R"({"peft_type": "LORA", "lora_alpha": 8, "modules_to_save": ["lm_head"]})",
                          good))
          .find("modules_to_save"),
      std::string::npos);
  EXPECT_NE(refusal(folder_with("no", R"({"peft_type": "LORA", "lora_alpha": 8, "bias": "all"})", good))
                .find("bias"),
            std::string::npos);
  EXPECT_NE(refusal(folder_with("no", R"({"peft_type": "IA3"})", good)).find("IA3"), std::string::npos);
  EXPECT_NE(
      refusal(folder_with("no", kConfig, weights(q + "lora_A.weight", q + "lora_magnitude_vector.weight")))
          .find("lora_magnitude_vector"),
      std::string::npos);
  EXPECT_NE(refusal(folder_with("no", kConfig, weights(q + "lora_A.weight", q + "lora_B.weight", "[4,3]")))
                .find("do not fit together"),
            std::string::npos);
  EXPECT_NE(
      refusal(folder_with("no", kConfig, weights(q + "lora_A.weight", "layers.1.mlp.up_proj.lora_B.weight")))
          .find("do not fit together"),
      std::string::npos);
  EXPECT_NE(refusal(fresh_folder("empty")).find("adapter_config.json"), std::string::npos);
  EXPECT_NE(refusal("/nowhere/adapter").find("no such adapter"), std::string::npos);
}

std::string gguf_adapter(const char* type) {
  Bytes out;
  out.raw("GGUF").put<std::uint32_t>(3).put<std::uint64_t>(2).put<std::uint64_t>(4);
  out.string("general.type").put<std::uint32_t>(8).string(type);
  out.string("general.architecture").put<std::uint32_t>(8).string("llama");
  out.string("adapter.type").put<std::uint32_t>(8).string("lora");
  out.string("adapter.lora.alpha").put<std::uint32_t>(6).put<float>(16);
  const auto tensor = [&](const char* name, std::uint64_t inner, std::uint64_t outer, std::uint64_t offset) {
    out.string(name).put<std::uint32_t>(2).put(inner).put(outer).put<std::uint32_t>(0).put(offset);
  };
  tensor("blk.0.attn_q.weight.lora_a", 4, 2, 0);
  tensor("blk.0.attn_q.weight.lora_b", 2, 6, 32);
  out.pad(32);
  for (int i = 0; i < 24; ++i) out.put<float>(1);
  return out.str();
}

TEST(Adapter, OfGguf) {
  const fs::path folder = fresh_folder("gguf_adapter");
  write(folder / "good.gguf", gguf_adapter("adapter"));
  const auto adapter = open_adapter(folder / "good.gguf");
  ASSERT_TRUE(adapter.ok()) << adapter.error().render();
  EXPECT_TRUE(adapter->gguf);
  EXPECT_EQ(adapter->architecture, "llama");
  EXPECT_EQ(adapter->scale(2), 8);
  EXPECT_EQ(adapter->pairs.at("blk.0.attn_q").a.shape, (std::vector<std::int64_t>{2, 4}));
  write(folder / "model.gguf", gguf_adapter("model"));
  EXPECT_NE(refusal(folder / "model.gguf").find("no adapter"), std::string::npos);
  write(folder / "text", "hello");
  EXPECT_NE(refusal(folder / "text").find("not an adapter"), std::string::npos);
}

}  // namespace
}  // namespace maestrale::files
