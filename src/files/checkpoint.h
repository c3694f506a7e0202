// Checkpoint: a model as published, behind one interface, whatever the dialect of its files. Tensors are
// views into mapped files; nothing is copied. Every size and offset has been checked against the files.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/result.h"
#include "files/adapter.h"
#include "tensor/view.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::files {

enum class Dialect { kGguf, kHuggingFace, kMistral, kLlama2c };
std::string_view dialect_name(Dialect dialect);

class Checkpoint {
 public:
  Dialect dialect = Dialect::kGguf;
  std::filesystem::path path;
  // The model's own configuration, as published: GGUF key-values (without tokenizer.ggml.* arrays),
  // config.json, params.json, or llama2.c's header as {"dim", "hidden_dim", "n_layers", "n_heads",
  // "n_kv_heads", "vocab_size", "seq_len", "shared_classifier", "version"}.
  json::object metadata;
  json::object generation_config;                    // generation_config.json, or empty
  std::vector<TensorView> tensors;                   // in file order, names as published, unique
  std::unique_ptr<const text::Tokenizer> tokenizer;  // null where the folder has none
  std::string tokenizer_problem;  // why there is none, for the error of a command that needs one
  std::string chat_template;      // Jinja source, or empty
  // What a folder of sentence-transformers says of embeddings: {"pooling": 1_Pooling/config.json, "modules":
  // [types]}; empty where it says nothing.
  json::object embedding;
  std::vector<Adapter> adapters;  // to be loaded beside the model; the caller adds them
  bool mtp = false;  // load a layer that predicts further tokens, where there is one; the caller says so
  std::vector<MappedFile> mappings;
  std::vector<HugeBuffer> buffers;  // tensors that come from no file (presets)

  const TensorView* find(std::string_view name) const;
  std::uint64_t file_bytes() const;  // total size of the mapped files
  // Lets the pages of this tensor leave the resident set (they stay readable).
  void release(const TensorView& tensor) const;

  void index_tensors();  // call once after `tensors` is complete

 private:
  std::unordered_map<std::string, std::size_t> by_name_;
};

struct OpenOptions {
  bool load_tokenizer = true;
};

// Recognises GGUF (split files from any part), a Hugging Face folder, a Mistral folder, llama2.c .bin; a
// folder with both HF and Mistral files opens as Hugging Face unless it holds no config.json. For llama2.c
// the tokenizer is looked for beside the model (tokenizer.bin, or the one *tok*.bin that fits it in size and
// best in name).
Result<Checkpoint> open_checkpoint(const std::filesystem::path& path, const OpenOptions& options = {});

}  // namespace maestrale::files
