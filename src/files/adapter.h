// Adapter: low-rank changes of a model's matrices (LoRA, arXiv 2106.09685), y = W x + scale · B (A x), as
// PEFT folders (adapter_config.json, adapter_model.safetensors) and llama.cpp's GGUF adapters hold them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "tensor/view.h"

namespace maestrale::files {

// The change of one matrix [rows, columns]; in GGUF also of all experts' matrices [experts, rows, columns],
// both sides with that number first. Views into the adapter's mapped file.
struct LowRankPair {
  TensorView a;  // [rank, columns]
  TensorView b;  // [rows, rank]
};

struct Adapter {
  std::filesystem::path path;
  bool gguf = false;         // else PEFT
  std::string architecture;  // GGUF: of the base that it was made for; empty where the file does not say
  double alpha = 0;
  bool rank_stabilised = false;              // scale is alpha / √rank (arXiv 2312.03732), else alpha / rank
  std::map<std::string, LowRankPair> pairs;  // by "layers.0.self_attn.q_proj" (PEFT) or "blk.0.attn_q" (GGUF)
  std::vector<MappedFile> mappings;

  float scale(std::int64_t rank) const;
};

// Opens a PEFT folder (or its adapter_model.safetensors) or a GGUF file of general.type "adapter". Refused by
// name: other methods, DoRA, fan_in_fan_out, biases and whole modules saved beside, scales per module.
Result<Adapter> open_adapter(const std::filesystem::path& path);

}  // namespace maestrale::files
