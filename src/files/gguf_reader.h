// GGUF v2 and v3, little-endian. Source: ggml's docs/gguf.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "tensor/view.h"
#include "text/tokenizer/load.h"

namespace maestrale::files {

inline constexpr std::uint64_t kGgufAlignment = 32;  // where general.alignment is absent

enum class GgufType : std::uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64  // clang-format off
};  // clang-format on

// One key as it stands in the file, for writers that carry it over unread.
struct GgufKey {
  std::string_view name;
  GgufType type = GgufType::kU32;
  std::span<const std::byte> value;  // the bytes after the type
};

struct GgufFile {
  json::object metadata;  // all keys but the arrays of tokenizer.ggml.*
  text::GgufVocabulary vocabulary;
  std::vector<GgufKey> keys;        // views into the file
  std::vector<TensorView> tensors;  // shapes outermost first, views into the file

  bool has_vocabulary() const { return !vocabulary.model.empty() && !vocabulary.tokens.empty(); }
};

// Views stay valid as long as `bytes`. `where` names the file in errors.
Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, const std::string& where);

}  // namespace maestrale::files
