// Conversion of checkpoints: between GGUF and Hugging Face safetensors, from every dialect that is read, with
// the weights kept or rounded into another type. Rows are streamed, so memory stays small.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "files/checkpoint.h"

namespace maestrale::files {

enum class Container { kGguf, kSafetensors };

// Weights of the columns of each matrix, by GGUF name: mean squares of its inputs.
using Importance = std::unordered_map<std::string, std::vector<float>>;

struct ConvertOptions {
  Container container = Container::kGguf;
  std::string type;  // a name of quant_mix_names(); empty keeps the weights as they are
  const Importance* importance = nullptr;
  int threads = 0;  // 0: as many as there are cores
};

struct ConvertProgress {
  std::size_t tensor = 0, tensors = 0;
  std::string_view name;
  std::uint64_t bytes_done = 0, bytes_total = 0;  // of the target
};

struct ConvertReport {
  std::size_t tensors = 0;
  std::uint64_t bytes = 0;            // of the weights written
  std::vector<std::string> left_out;  // tensors beside the text model
  std::string tokenizer_problem;      // why the target has no vocabulary, or empty
};

// `destination` is a file for GGUF, a folder for safetensors; it must not exist. Same container to same
// container requantises: any architecture for GGUF. Between containers and dialects: llama, mistral,
// ministral3, qwen2, qwen3 without experts.
Result<ConvertReport> convert_checkpoint(const std::filesystem::path& source,
                                         const std::filesystem::path& destination,
                                         const ConvertOptions& options,
                                         const std::function<void(const ConvertProgress&)>& progress = {});

// The same from an open checkpoint. One that comes from no file (a preset) has no vocabulary: its GGUF file
// gets placeholder tokens, so that other programs open it, and the report says so; it becomes no folder.
Result<ConvertReport> convert_checkpoint(const Checkpoint& source, const std::filesystem::path& destination,
                                         const ConvertOptions& options,
                                         const std::function<void(const ConvertProgress&)>& progress = {});

}  // namespace maestrale::files
