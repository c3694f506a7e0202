#include <gtest/gtest.h>

#include <fstream>

#include "files/checkpoint.h"
#include "files/test_support.h"

namespace maestrale::files {
namespace {

namespace fs = std::filesystem;

constexpr OpenOptions kWeightsOnly{.load_tokenizer = false};

void write(const fs::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary).write(text.data(), static_cast<std::streamsize>(text.size()));
}

std::string one_tensor(std::string_view name) {
  const std::string header =
      R"({")" + std::string(name) + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  return Bytes().put<std::uint64_t>(header.size()).raw(header).put(1.0f).str();
}

std::string gguf_part(std::uint16_t number, std::uint16_t count, std::string_view tensor) {
  Bytes out;
  out.raw("GGUF").put<std::uint32_t>(3).put<std::uint64_t>(1).put<std::uint64_t>(3);
  out.string("split.no").put<std::uint32_t>(2).put(number);
  out.string("split.count").put<std::uint32_t>(2).put(count);
  out.string("split.tensors.count").put<std::uint32_t>(5).put<std::int32_t>(count);
  out.string(tensor).put<std::uint32_t>(1).put<std::uint64_t>(1).put<std::uint32_t>(0).put<std::uint64_t>(0);
  return out.pad(32).put(1.0f).str();
}

std::string error_of(const fs::path& path) {
  const auto opened = open_checkpoint(path, kWeightsOnly);
  return opened.ok() ? "opened" : opened.error().render();
}

TEST(OpenCheckpoint, JoinsASplitGgufFromAnyPart) {
  const fs::path folder = fresh_folder("split");
  write(folder / "m-00001-of-00002.gguf", gguf_part(0, 2, "a"));
  write(folder / "m-00002-of-00002.gguf", gguf_part(1, 2, "b"));
  for (const char* name : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}) {
    const auto opened = open_checkpoint(folder / name, kWeightsOnly);
    ASSERT_TRUE(opened.ok()) << opened.error().render();
    EXPECT_EQ(opened->tensors.size(), 2u);
    ASSERT_NE(opened->find("b"), nullptr);
    EXPECT_EQ(opened->mappings.size(), 2u);
    opened->release(*opened->find("b"));
    float value = 0;
    std::memcpy(&value, opened->find("b")->data.data(), sizeof(value));
    EXPECT_EQ(value, 1.0f);
  }
  write(folder / "m-00002-of-00002.gguf", gguf_part(0, 2, "b"));
  EXPECT_NE(error_of(folder / "m-00001-of-00002.gguf").find("another part"), std::string::npos);
  write(folder / "m-00002-of-00002.gguf", gguf_part(1, 2, "a"));
  EXPECT_NE(error_of(folder / "m-00001-of-00002.gguf").find("two parts"), std::string::npos);
  fs::remove(folder / "m-00002-of-00002.gguf");
  EXPECT_NE(error_of(folder / "m-00001-of-00002.gguf").find("all 2 parts"), std::string::npos);
  write(folder / "renamed.gguf", gguf_part(0, 2, "a"));
  EXPECT_NE(error_of(folder / "renamed.gguf").find("another name"), std::string::npos);
}

TEST(OpenCheckpoint, ReadsShardsByTheIndex) {
  const fs::path folder = fresh_folder("shards");
  write(folder / "config.json", R"({"model_type":"llama"})");
  write(folder / "one.safetensors", one_tensor("a"));
  write(folder / "two.safetensors", one_tensor("b"));
  const fs::path index = folder / "model.safetensors.index.json";
  write(index, R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  EXPECT_EQ(error_of(folder), "opened");
  EXPECT_EQ(error_of(folder / "one.safetensors"), "opened");
  write(index, R"({"weight_map":{"a":"one.safetensors","c":"two.safetensors"}})");
  EXPECT_NE(error_of(folder).find("not in the index"), std::string::npos);
  write(index, R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"}})");
  EXPECT_NE(error_of(folder).find("promises tensor 'c'"), std::string::npos);
  write(index, R"({"weight_map":{"a":"three.safetensors"}})");
  EXPECT_NE(error_of(folder).find("missing"), std::string::npos);
  write(index, R"({"weight_map":{"a":"../one.safetensors"}})");
  EXPECT_NE(error_of(folder).find("plain file name"), std::string::npos);
  write(index, R"({"weight_map":[]})");
  EXPECT_NE(error_of(folder).find("weight_map"), std::string::npos);
  fs::remove(index);
  write(folder / "model-00001-of-00002.safetensors", one_tensor("a"));
  EXPECT_NE(error_of(folder).find("not complete"), std::string::npos);
  write(folder / "model-00002-of-00002.safetensors", one_tensor("a"));
  EXPECT_NE(error_of(folder).find("two files"), std::string::npos);
}

TEST(OpenCheckpoint, FindsTheChatTemplate) {
  const fs::path folder = fresh_folder("template");
  write(folder / "config.json", "{}");
  write(folder / "model.safetensors", one_tensor("a"));
  write(folder / "tokenizer_config.json",
        R"({"chat_template":[{"name":"tool_use","template":"T"},{"name":"default","template":"D"}]})");
  EXPECT_EQ(open_checkpoint(folder, kWeightsOnly)->chat_template, "D");
  write(folder / "tokenizer_config.json", R"({"chat_template":"S"})");
  EXPECT_EQ(open_checkpoint(folder, kWeightsOnly)->chat_template, "S");
  write(folder / "chat_template.json", R"({"chat_template":"J"})");
  EXPECT_EQ(open_checkpoint(folder, kWeightsOnly)->chat_template, "J");
  write(folder / "chat_template.jinja", "jinja");
  EXPECT_EQ(open_checkpoint(folder, kWeightsOnly)->chat_template, "jinja");
}

TEST(OpenCheckpoint, PrefersHuggingFaceWhereBothAre) {
  const fs::path folder = fresh_folder("both");
  write(folder / "params.json", R"({"dim":1})");
  write(folder / "consolidated.safetensors", one_tensor("m"));
  EXPECT_EQ(open_checkpoint(folder, kWeightsOnly)->dialect, Dialect::kMistral);
  write(folder / "config.json", "{}");
  EXPECT_EQ(open_checkpoint(folder, kWeightsOnly)->dialect, Dialect::kMistral);
  write(folder / "model.safetensors", one_tensor("h"));
  EXPECT_EQ(open_checkpoint(folder, kWeightsOnly)->dialect, Dialect::kHuggingFace);
  EXPECT_NE(open_checkpoint(folder)->tokenizer_problem.find("no vocabulary"), std::string::npos);
}

TEST(OpenCheckpoint, NamesWhatItDoesNotRead) {
  const fs::path folder = fresh_folder("lookalikes");
  const std::pair<std::string, std::string> cases[] = {
      {std::string("PK\x03\x04") + std::string(100, '\0'), "PyTorch"},
      {"\x80\x02}", "pickle"},
      {"lmgg....", "GGML"},
      {"tjgg....", "GGJT"},
      {std::string("GGUF\x01\0\0\0", 8) + std::string(20, '\0'), "version 1"},
      {std::string("GGUF\0\0\0\x03", 8) + std::string(20, '\0'), "big-endian"},
      {"", "empty file"},
      {"version https://git-lfs.github.com/spec/v1", "Git LFS"},
      {"<!DOCTYPE html>", "web page"},
      {"hello, this is no model at all........", "unknown format"},
  };
  for (const auto& [bytes, message] : cases) {
    write(folder / "file.bin", bytes);
    EXPECT_NE(error_of(folder / "file.bin").find(message), std::string::npos)
        << error_of(folder / "file.bin");
  }
  write(folder / "file.onnx", "\x08\x07 an onnx model .....................");
  EXPECT_NE(error_of(folder / "file.onnx").find("ONNX"), std::string::npos);
  EXPECT_NE(error_of(folder / "nothing").find("no such file"), std::string::npos);
  fs::remove(folder / "file.onnx");
  EXPECT_NE(error_of(folder).find("neither config.json"), std::string::npos);
  write(folder / "pytorch_model.bin", "PK");
  EXPECT_NE(error_of(folder).find("pickles"), std::string::npos);
  write(folder / "alone.safetensors", one_tensor("a"));
  EXPECT_NE(error_of(folder / "alone.safetensors").find("beside it"), std::string::npos);
}

TEST(OpenCheckpoint, OpensEveryPublishedModelOrNamesTheReason) {
  const fs::path models = shared_folder("data/models");
  if (models.empty()) GTEST_SKIP() << "no shared data";
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(models)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".gguf" || name.find("60K") != std::string::npos)
      paths.push_back(entry.path());
  }
  for (const auto& entry : fs::directory_iterator(models / "tiny_random")) paths.push_back(entry.path());
  int opened = 0;
  for (const fs::path& path : paths) {
    if (path.extension() == ".md") continue;
    const std::string error = error_of(path);
    const bool packed = error.find("U32") != std::string::npos;  // MLX's own quantisation
    EXPECT_TRUE(error == "opened" || packed) << error;
    opened += error == "opened" ? 1 : 0;
  }
  EXPECT_GE(opened, 11);
}

TEST(OpenCheckpoint, OpensEveryGoldenModel) {
  const fs::path golden = shared_folder("golden/arch");
  if (golden.empty()) GTEST_SKIP() << "no shared data";
  for (const auto& entry : fs::directory_iterator(golden)) {
    for (const char* part : {"hf", "native", "model.gguf"}) {
      if (!fs::exists(entry.path() / part)) continue;
      const std::string error = error_of(entry.path() / part);
      const bool packed = error.find("U8") != std::string::npos;  // gpt-oss's MXFP4 blocks
      EXPECT_TRUE(error == "opened" || packed) << error;
    }
  }
}

}  // namespace
}  // namespace maestrale::files
