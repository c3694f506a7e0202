// safetensors: a JSON header of names, types, shapes and extents, then the data without gaps.
// Source: the format description in huggingface/safetensors.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "tensor/view.h"

namespace maestrale::files {

struct SafetensorsFile {
  std::vector<TensorView> tensors;                            // in the order of their data
  std::vector<std::pair<std::string, std::string>> metadata;  // __metadata__
};

// Views stay valid as long as `bytes`. `where` names the file in errors.
Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes, const std::string& where);

// "BF16" and so on; empty where safetensors has no such type.
std::string_view safetensors_dtype_name(DType dtype);

}  // namespace maestrale::files
