#include "read.h"

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "base/gunzip.h"

namespace maestrale::golden {

namespace fs = std::filesystem;

Result<std::vector<float>> read_floats(const fs::path& path) {
  const std::string bytes = TRY(read_file(path, kMaxGoldenBytes));
  if (bytes.size() % sizeof(float) != 0) {
    return Error{.what = "not a whole number of floats",
                 .where = path,
                 .found = std::to_string(bytes.size()) + " bytes"};
  }
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

Result<std::string> read_maybe_gzipped(const fs::path& path) {
  std::string bytes = TRY(read_file(path, kMaxGoldenBytes));
  if (path.extension() != ".gz") return bytes;
  return gunzip(bytes, path, kMaxGoldenBytes);
}

Result<json::value> read_json(const fs::path& path) {
  const std::string text = TRY(read_maybe_gzipped(path));
  return parse_json(text, path);
}

Result<const json::object*> object_of(const json::value& value, const std::string& where) {
  if (!value.is_object()) return Error{.what = "not a JSON object", .where = where};
  return &value.get_object();
}

Result<std::vector<text::TokenId>> token_ids(const json::value& list, const std::string& where) {
  if (!list.is_array()) return Error{.what = "token ids are not a list", .where = where};
  std::vector<text::TokenId> ids;
  ids.reserve(list.get_array().size());
  for (const json::value& id : list.get_array()) {
    if (!id.is_int64()) return Error{.what = "a token id is not a number", .where = where};
    ids.push_back(static_cast<text::TokenId>(id.get_int64()));
  }
  return ids;
}

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) entries.push_back(entry.path());
  std::sort(entries.begin(), entries.end());
  return entries;
}

}  // namespace maestrale::golden
