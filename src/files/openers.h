// The dialects' openers behind open_checkpoint(), and the parts they share.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "files/checkpoint.h"
#include "text/tokenizer/load.h"

namespace maestrale::files {

Result<Checkpoint> open_gguf(MappedFile first, const OpenOptions& options);
Result<Checkpoint> open_llama2c(MappedFile file, const OpenOptions& options);
// The tokenizer that lies beside a llama2.c model; empty where there is none or several fit.
std::filesystem::path llama2c_tokenizer_path(const std::filesystem::path& model, std::int64_t vocab_size);
// HF or Mistral, as the folder's files say.
Result<Checkpoint> open_folder(const std::filesystem::path& folder, const OpenOptions& options);

// Maps one safetensors file and appends its tensors. Two tensors of one name are an error.
Status append_safetensors(const std::filesystem::path& path, Checkpoint& out);

// Keeps the tokenizer, or the reason why there is none.
void keep_tokenizer(Result<text::TokenizerPtr> loaded, Checkpoint& out);
// Vocabulary and chat template of a folder.
void load_folder_tokenizer(const std::filesystem::path& folder, Checkpoint& out);
Status load_chat_template(const std::filesystem::path& folder, Checkpoint& out);

// A JSON file whose outermost value is an object.
Result<json::object> read_json_object(const std::filesystem::path& path);

}  // namespace maestrale::files
