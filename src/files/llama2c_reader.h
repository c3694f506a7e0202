// llama2.c model files, versions 0 (no magic number), 1 (f32) and 2 (int8 groups). Source: karpathy/llama2.c,
// export.py and run.c.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "tensor/view.h"

namespace maestrale::files {

struct Llama2cFile {
  // {"dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len", "shared_classifier",
  // "version"}, and "group_size" in version 2.
  json::object metadata;
  std::int64_t vocab_size = 0;
  // Meta's names, one view per layer. Version 2: matrices are I8 and each NAME has a companion NAME.scale,
  // f32, one per group_size consecutive elements of the flattened matrix.
  std::vector<TensorView> tensors;
};

// Whether the bytes begin like such a file: by the magic number, or by seven sizes that fit together.
bool looks_like_llama2c(std::span<const std::byte> bytes);
Result<Llama2cFile> parse_llama2c(std::span<const std::byte> bytes, const std::string& where);
// Whether the bytes are a llama2.c tokenizer of exactly this many entries.
bool fits_llama2c_tokenizer(std::string_view bytes, std::int64_t vocab_size);

}  // namespace maestrale::files
