#include <array>

#include "files/byte_reader.h"
#include "files/checkpoint.h"
#include "files/llama2c_reader.h"
#include "files/openers.h"

namespace maestrale::files {
namespace {

namespace fs = std::filesystem;

struct Lookalike {
  std::size_t offset;
  std::string_view magic;
  std::string_view what;
  std::string_view hint;
};

using std::string_view_literals::operator""sv;

constexpr std::string_view kUseSafetensors =
    "use the model's safetensors or GGUF files; pickles can run code and are not read";
constexpr std::string_view kUseGguf = "convert the model to GGUF, or use its safetensors files";
constexpr std::array kLookalikes = {
    Lookalike{0, "PK\x03\x04"sv, "a PyTorch or NumPy archive (zip)", kUseSafetensors},
    Lookalike{0, "\x80\x02"sv, "a Python pickle (PyTorch .pt/.bin)", kUseSafetensors},
    Lookalike{0, "\x80\x04"sv, "a Python pickle", kUseSafetensors},
    Lookalike{0, "lmgg"sv, "a GGML file, older than GGUF", kUseGguf},
    Lookalike{0, "fmgg"sv, "a GGMF file, older than GGUF", kUseGguf},
    Lookalike{0, "tjgg"sv, "a GGJT file, older than GGUF", kUseGguf},
    Lookalike{0, "algg"sv, "a GGLA adapter, older than GGUF", kUseGguf},
    Lookalike{0, "\x89HDF"sv, "an HDF5 file (Keras)", kUseGguf},
    Lookalike{4, "TFL3"sv, "a TensorFlow Lite file", kUseGguf},
    Lookalike{0, "\x93NUMPY"sv, "a NumPy array", kUseGguf},
    Lookalike{0, "version https://git-lfs"sv, "a Git LFS pointer instead of the file itself",
              "fetch the real file (git lfs pull, or download it again)"},
    Lookalike{0, "<!DOCTYPE"sv, "a web page instead of a model", "download the file itself, not its page"},
    Lookalike{0, "<html"sv, "a web page instead of a model", "download the file itself, not its page"},
};

Error not_a_model(const fs::path& path, std::string_view what, std::string_view hint) {
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "not a model this program reads",
               .where = path.string(),
               .expected = "GGUF, a Hugging Face or Mistral folder, or llama2.c",
               .found = std::string(what),
               .hint = std::string(hint)};
}

Error unknown_file(const fs::path& path, std::string_view text) {
  for (const Lookalike& row : kLookalikes) {
    if (text.size() >= row.offset && text.substr(row.offset).starts_with(row.magic)) {
      return not_a_model(path, row.what, row.hint);
    }
  }
  if (path.extension() == ".onnx") return not_a_model(path, "an ONNX file", kUseGguf);
  if (text.empty()) return not_a_model(path, "an empty file", "the download failed; fetch it again");
  return not_a_model(path, "a file of unknown format", "");
}

bool has_config(const fs::path& folder) {
  return fs::exists(folder / "config.json") || fs::exists(folder / "params.json");
}

fs::path parent_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

Result<Checkpoint> open_file(const fs::path& path, const OpenOptions& options) {
  const bool part_of_folder = path.extension() == ".safetensors" || path.extension() == ".json";
  if (part_of_folder && has_config(parent_of(path))) return open_folder(parent_of(path), options);
  MappedFile file = TRY(MappedFile::open(path));
  if (file.text().starts_with("GGUF")) return open_gguf(std::move(file), options);
  if (file.text().starts_with("FUGG")) return not_a_model(path, "a big-endian GGUF file", kUseGguf);
  if (path.extension() == ".safetensors") {
    return not_a_model(path, "a safetensors file without config.json or params.json beside it",
                       "put the model's configuration into the same folder");
  }
  if (looks_like_llama2c(file.bytes())) return open_llama2c(std::move(file), options);
  return unknown_file(path, file.text());
}

}  // namespace

Result<Checkpoint> open_checkpoint(const fs::path& path, const OpenOptions& options) {
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (!fs::exists(status)) {
    return Error{.kind = ErrorKind::kNotFound, .what = "no such file or folder", .where = path.string()};
  }
  Checkpoint checkpoint =
      TRY(fs::is_directory(status) ? open_folder(path, options) : open_file(path, options));
  checkpoint.path = path;
  for (const MappedFile& file : checkpoint.mappings) TRY(file.check_unchanged());
  checkpoint.index_tensors();
  return checkpoint;
}

}  // namespace maestrale::files
