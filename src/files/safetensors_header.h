// The JSON header of a safetensors file, read event by event: no tree is built, duplicate keys are seen.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace maestrale::files {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::array<std::uint64_t, 2> extent{};  // [begin, end) in the data
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the order of the header
  std::vector<std::pair<std::string, std::string>> metadata;
};

Result<SafetensorsHeader> parse_safetensors_header(std::string_view text, const std::string& where);

}  // namespace maestrale::files
