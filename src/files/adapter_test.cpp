#include "files/adapter.h"

#include <algorithm>
#include <utility>

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
  for (const char* start : {"pissa_niter_4", "olora", "loftq", "corda"}) {
    const std::string config =
        R"({"peft_type": "LORA", "lora_alpha": 8, "init_lora_weights": ")" + std::string(start) + "\"}";
    const std::string said = refusal(folder_with("no", config, good));
    EXPECT_NE(said.find("init_lora_weights"), std::string::npos) << said;
    EXPECT_NE(said.find(start), std::string::npos) << said;
  }
  for (const char* start : {"true", "false", "\"gaussian\"", "\"eva\""}) {
    const std::string config =
        R"({"peft_type": "LORA", "lora_alpha": 8, "init_lora_weights": )" + std::string(start) + "}";
    EXPECT_EQ(refusal(folder_with("yes", config, good)), "");
  }
  EXPECT_NE(
      refusal(folder_with("no", R"({"peft_type": "LORA", "lora_alpha": 8, "alora_invocation_tokens": [5]})",
                          good))
          .find("alora_invocation_tokens"),
      std::string::npos);
  EXPECT_NE(refusal(fresh_folder("empty")).find("adapter_config.json"), std::string::npos);
  EXPECT_NE(refusal("/nowhere/adapter").find("no such adapter"), std::string::npos);
}

// One pair: A [2, 4] and B [6, 2], or stacks of so many of them.
std::string gguf_adapter(const char* type, float alpha = 16, std::uint64_t stack_a = 0,
                         std::uint64_t stack_b = 0) {
  Bytes out;
  out.raw("GGUF").put<std::uint32_t>(3).put<std::uint64_t>(2).put<std::uint64_t>(4);
  out.string("general.type").put<std::uint32_t>(8).string(type);
  out.string("general.architecture").put<std::uint32_t>(8).string("llama");
  out.string("adapter.type").put<std::uint32_t>(8).string("lora");
  out.string("adapter.lora.alpha").put<std::uint32_t>(6).put<float>(alpha);
  const auto tensor = [&](const char* name, std::uint64_t inner, std::uint64_t outer, std::uint64_t stack,
                          std::uint64_t offset) {
    out.string(name).put<std::uint32_t>(stack > 0 ? 3 : 2).put(inner).put(outer);
    if (stack > 0) out.put(stack);
    out.put<std::uint32_t>(0).put(offset);
  };
  const std::uint64_t many = std::max<std::uint64_t>(stack_a, 1),
                      others = std::max<std::uint64_t>(stack_b, 1);
  tensor("blk.0.attn_q.weight.lora_a", 4, 2, stack_a, 0);
  tensor("blk.0.attn_q.weight.lora_b", 2, 6, stack_b, 32 * many);
  out.pad(32);
  for (std::uint64_t i = 0; i < 8 * many + 16 * others; ++i) out.put<float>(1);
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
  write(folder / "plain.gguf", gguf_adapter("adapter", 0));
  EXPECT_EQ(open_adapter(folder / "plain.gguf")->scale(2), 1) << "alpha 0: no scale, as llama.cpp reads it";
  write(folder / "model.gguf", gguf_adapter("model"));
  EXPECT_NE(refusal(folder / "model.gguf").find("no adapter"), std::string::npos);
  write(folder / "text", "hello");
  EXPECT_NE(refusal(folder / "text").find("not an adapter"), std::string::npos);
}

TEST(Adapter, OfGgufStacks) {
  const fs::path folder = fresh_folder("gguf_stacks");
  write(folder / "good.gguf", gguf_adapter("adapter", 16, 3, 3));
  const auto adapter = open_adapter(folder / "good.gguf");
  ASSERT_TRUE(adapter.ok()) << adapter.error().render();
  EXPECT_EQ(adapter->pairs.at("blk.0.attn_q").a.shape, (std::vector<std::int64_t>{3, 2, 4}));
  EXPECT_EQ(adapter->pairs.at("blk.0.attn_q").b.shape, (std::vector<std::int64_t>{3, 6, 2}));
  for (const auto& [a, b] : {std::pair<std::uint64_t, std::uint64_t>{3, 2}, {3, 0}, {0, 3}}) {
    write(folder / "bad.gguf", gguf_adapter("adapter", 16, a, b));
    const std::string said = refusal(folder / "bad.gguf");
    EXPECT_NE(said.find("'blk.0.attn_q' do not fit together"), std::string::npos) << said;
  }
}

}  // namespace
}  // namespace maestrale::files
