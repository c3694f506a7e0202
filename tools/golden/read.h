// Reading golden files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::golden {

constexpr std::uint64_t kMaxGoldenBytes = std::uint64_t{1} << 30;

Result<std::vector<float>> read_floats(const std::filesystem::path& path);
Result<std::string> read_maybe_gzipped(const std::filesystem::path& path);
Result<json::value> read_json(const std::filesystem::path& path);  // gzipped where the name ends in .gz
Result<const json::object*> object_of(const json::value& value, const std::string& where);
Result<std::vector<text::TokenId>> token_ids(const json::value& list, const std::string& where);
// Folders or files directly below, in name order.
std::vector<std::filesystem::path> sorted_entries(const std::filesystem::path& folder);

}  // namespace maestrale::golden
