#include <algorithm>
#include <map>
#include <set>
#include <unordered_set>

#include "files/openers.h"
#include "files/safetensors_reader.h"

namespace maestrale::files {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxJsonBytes = 256 << 20;

// Where a folder keeps its weights: one file, an index, or numbered parts without an index.
struct Weights {
  fs::path single, index;
  std::vector<fs::path> parts;
  bool any() const { return !single.empty() || !index.empty() || !parts.empty(); }
};

std::vector<fs::path> files_named(const fs::path& folder, std::string_view start, std::string_view end) {
  std::vector<fs::path> found;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(start) && name.ends_with(end)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

Weights find_weights(const fs::path& folder, const std::string& stem) {
  Weights weights;
  const fs::path single = folder / (stem + ".safetensors");
  const fs::path index = folder / (stem + ".safetensors.index.json");
  if (fs::exists(single)) {
    weights.single = single;
  } else if (fs::exists(index)) {
    weights.index = index;
  } else {
    weights.parts = files_named(folder, stem + "-", ".safetensors");
  }
  return weights;
}

// "…-00002-of-00005.safetensors": 5, or 0 where the name has another form.
std::size_t parts_named(const fs::path& path) {
  const std::string stem = path.stem().string();
  const std::size_t of = stem.rfind("-of-");
  if (of == std::string::npos || stem.size() - of > 12) return 0;
  std::size_t count = 0;
  for (const char digit : stem.substr(of + 4)) {
    if (digit < '0' || digit > '9') return 0;
    count = count * 10 + static_cast<std::size_t>(digit - '0');
  }
  return count;
}

Status open_numbered(const Weights& weights, Checkpoint& out) {
  const std::size_t expected = parts_named(weights.parts.front());
  if (expected != weights.parts.size()) {
    return Error{.kind = ErrorKind::kNotFound,
                 .what = "the parts of the model are not complete",
                 .where = weights.parts.front().parent_path().string(),
                 .expected = std::to_string(expected) + " parts",
                 .found = std::to_string(weights.parts.size()),
                 .hint = "download the missing files"};
  }
  for (const fs::path& part : weights.parts) TRY(append_safetensors(part, out));
  return {};
}

using WeightMap = std::map<std::string, std::set<std::string>>;  // file -> its tensors

Result<WeightMap> read_index(const fs::path& path) {
  const json::object index = TRY(read_json_object(path));
  const json::object& map = *TRY(JsonFields(index, path.string()).object("weight_map"));
  WeightMap files;
  for (const auto& [tensor, file] : map) {
    const std::string name(file.is_string() ? std::string_view(file.get_string()) : std::string_view());
    if (name.empty() || name.find('/') != std::string::npos || name == "..") {
      return Error{.what = "weight_map names no file of this folder",
                   .where = path.string() + ", tensor '" + std::string(tensor) + "'",
                   .expected = "a plain file name",
                   .found = name};
    }
    files[name].insert(std::string(tensor));
  }
  return files;
}

Status check_against_index(const std::set<std::string>& expected, std::span<const TensorView> found,
                           const std::string& where) {
  for (const TensorView& tensor : found) {
    if (!expected.contains(tensor.name)) {
      return Error{.what = "tensor '" + tensor.name + "' stands in the file but not in the index",
                   .where = where};
    }
  }
  if (found.size() == expected.size()) return {};
  std::set<std::string> missing = expected;
  for (const TensorView& tensor : found) missing.erase(tensor.name);
  return Error{.what = "the index promises tensor '" + *missing.begin() + "', which is not in the file",
               .where = where,
               .hint = "the files are of different versions; download them again"};
}

Status open_indexed(const fs::path& index, Checkpoint& out) {
  for (const auto& [file, tensors] : TRY(read_index(index))) {
    const fs::path path = index.parent_path() / file;
    if (!fs::exists(path)) {
      return Error{.kind = ErrorKind::kNotFound,
                   .what = "a file that the index names is missing",
                   .where = path.string(),
                   .hint = "download the missing file"};
    }
    const std::size_t before = out.tensors.size();
    TRY(append_safetensors(path, out));
    TRY(check_against_index(tensors, std::span(out.tensors).subspan(before), path.string()));
  }
  return {};
}

Status check_unique(const Checkpoint& checkpoint, const fs::path& folder) {
  std::unordered_set<std::string_view> names;
  for (const TensorView& tensor : checkpoint.tensors) {
    if (names.insert(tensor.name).second) continue;
    return Error{.what = "tensor '" + tensor.name + "' stands in two files", .where = folder.string()};
  }
  return {};
}

Status open_weights(const Weights& weights, Checkpoint& out) {
  if (!weights.single.empty()) return append_safetensors(weights.single, out);
  if (!weights.index.empty()) return open_indexed(weights.index, out);
  return open_numbered(weights, out);
}

Error no_model_here(const fs::path& folder, bool configured) {
  std::string found = configured ? "a configuration without weights" : "neither config.json nor params.json";
  std::string hint =
      "a model folder holds config.json and *.safetensors, or params.json and consolidated*.safetensors";
  const auto gguf = files_named(folder, "", ".gguf");
  auto pickles = files_named(folder, "pytorch_model", ".bin");
  const auto originals = files_named(folder, "consolidated.", ".pth");
  pickles.insert(pickles.end(), originals.begin(), originals.end());
  if (!gguf.empty()) {
    found = "GGUF files";
    hint = "name one of them: " + gguf.front().string();
  } else if (!pickles.empty()) {
    found = "PyTorch pickles (" + pickles.front().filename().string() + ")";
    hint = "use the model's safetensors or GGUF files; pickles can run code and are not read";
  } else if (!files_named(folder, "", ".onnx").empty()) {
    found = "an ONNX model";
    hint = "use the model's safetensors or GGUF files";
  }
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "no model in this folder",
               .where = folder.string(),
               .expected = "a Hugging Face or Mistral folder",
               .found = std::move(found),
               .hint = std::move(hint)};
}

// modules.json of sentence-transformers and the settings of its pooling.
Status read_embedding(const fs::path& folder, Checkpoint& out) {
  const fs::path list = folder / "modules.json";
  if (!fs::exists(list)) return {};
  const json::value modules = TRY(parse_json(TRY(read_file(list, kMaxJsonBytes)), list.string()));
  if (!modules.is_array())
    return Error{.what = "the file does not hold a JSON array", .where = list.string()};
  json::array types;
  for (const json::value& module : modules.get_array()) {
    if (!module.is_object()) return Error{.what = "a module is no JSON object", .where = list.string()};
    const JsonFields fields(module.get_object(), list.string());
    const std::string type = TRY(fields.string("type")), path = TRY(fields.string_or("path", ""));
    types.emplace_back(type.substr(type.rfind('.') + 1));
    if (!type.ends_with(".Pooling")) continue;
    if (path.find('/') != path.npos || path == "..") {
      return Error{
          .what = "a module's path names no folder of this one", .where = list.string(), .found = path};
    }
    out.embedding["pooling"] = TRY(read_json_object(folder / path / "config.json"));
  }
  out.embedding["modules"] = std::move(types);
  return {};
}

}  // namespace

Result<json::object> read_json_object(const fs::path& path) {
  json::value value = TRY(parse_json(TRY(read_file(path, kMaxJsonBytes)), path.string()));
  if (value.is_object()) return std::move(value.get_object());
  return Error{.what = "the file does not hold a JSON object", .where = path.string()};
}

Status append_safetensors(const fs::path& path, Checkpoint& out) {
  MappedFile mapped = TRY(MappedFile::open(path));
  SafetensorsFile file = TRY(parse_safetensors(mapped.bytes(), path.string()));
  out.tensors.insert(out.tensors.end(), std::make_move_iterator(file.tensors.begin()),
                     std::make_move_iterator(file.tensors.end()));
  out.mappings.push_back(std::move(mapped));
  return {};
}

Result<Checkpoint> open_folder(const fs::path& folder, const OpenOptions& options) {
  const bool has_config = fs::exists(folder / "config.json"), has_params = fs::exists(folder / "params.json");
  const Weights hugging_face = find_weights(folder, "model"), mistral = find_weights(folder, "consolidated");
  Checkpoint out;
  if (has_config && hugging_face.any()) {
    out.dialect = Dialect::kHuggingFace;
    out.metadata = TRY(read_json_object(folder / "config.json"));
    TRY(open_weights(hugging_face, out));
    const fs::path generation = folder / "generation_config.json";
    if (fs::exists(generation)) out.generation_config = TRY(read_json_object(generation));
    TRY(read_embedding(folder, out));
  } else if (has_params && mistral.any()) {
    out.dialect = Dialect::kMistral;
    out.metadata = TRY(read_json_object(folder / "params.json"));
    TRY(open_weights(mistral, out));
  } else {
    return no_model_here(folder, has_config || has_params);
  }
  TRY(check_unique(out, folder));
  TRY(load_chat_template(folder, out));
  if (options.load_tokenizer) load_folder_tokenizer(folder, out);
  return out;
}

}  // namespace maestrale::files
