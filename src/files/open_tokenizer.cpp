#include <algorithm>

#include "files/openers.h"

namespace maestrale::files {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxVocabularyBytes = 256 << 20;
constexpr std::uint64_t kMaxTemplateBytes = 4 << 20;

// tokenizer.model, or the newest tokenizer.model.v*; empty where there is neither.
fs::path sentencepiece_path(const fs::path& folder) {
  if (fs::exists(folder / "tokenizer.model")) return folder / "tokenizer.model";
  std::vector<fs::path> found;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    if (entry.path().filename().string().starts_with("tokenizer.model.v")) found.push_back(entry.path());
  }
  const auto newer = [](const fs::path& a, const fs::path& b) {
    const std::string left = a.string(), right = b.string();
    return left.size() != right.size() ? left.size() < right.size() : left < right;
  };
  return found.empty() ? fs::path() : *std::max_element(found.begin(), found.end(), newer);
}

Result<text::TokenizerPtr> from_json(const fs::path& path) {
  const std::string vocabulary = TRY(read_file(path, kMaxVocabularyBytes));
  const fs::path config = path.parent_path() / "tokenizer_config.json";
  const std::string settings =
      fs::exists(config) ? TRY(read_file(config, kMaxVocabularyBytes)) : std::string();
  return text::tokenizer_from_json(vocabulary, settings, path.string());
}

Result<text::TokenizerPtr> from_sentencepiece(const fs::path& path) {
  const std::string bytes = TRY(read_file(path, kMaxVocabularyBytes));
  if (bytes.starts_with("\x0a")) return text::tokenizer_from_sentencepiece(bytes, path.string());
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "not a SentencePiece model",
               .where = path.string(),
               .found = "perhaps a list of ranks (tiktoken)",
               .hint = "add the model's tokenizer.json to the folder"};
}

Result<text::TokenizerPtr> from_folder(const fs::path& folder, Dialect dialect) {
  const fs::path tekken = folder / "tekken.json", hugging_face = folder / "tokenizer.json";
  const fs::path pieces = sentencepiece_path(folder);
  if (dialect == Dialect::kHuggingFace && fs::exists(hugging_face)) return from_json(hugging_face);
  if (dialect == Dialect::kMistral && fs::exists(tekken)) {
    return text::tokenizer_from_tekken(TRY(read_file(tekken, kMaxVocabularyBytes)), tekken.string());
  }
  if (!pieces.empty()) return from_sentencepiece(pieces);
  if (fs::exists(hugging_face)) return from_json(hugging_face);
  if (fs::exists(tekken)) {
    return text::tokenizer_from_tekken(TRY(read_file(tekken, kMaxVocabularyBytes)), tekken.string());
  }
  return Error{.kind = ErrorKind::kNotFound,
               .what = "the folder holds no vocabulary",
               .where = folder.string(),
               .expected = "tokenizer.json, tekken.json or tokenizer.model"};
}

// "chat_template" is one template or a list of named ones, of which "default" counts, else the first.
std::string template_of(const json::object& holder) {
  const json::value* value = holder.if_contains("chat_template");
  if (value == nullptr) return {};
  if (value->is_string()) return std::string(value->get_string());
  if (!value->is_array()) return {};
  std::string chosen;
  for (const json::value& row : value->get_array()) {
    const json::object* entry = row.if_object();
    const json::value* name = entry == nullptr ? nullptr : entry->if_contains("name");
    const json::value* text = entry == nullptr ? nullptr : entry->if_contains("template");
    if (text == nullptr || !text->is_string()) continue;
    const bool is_default = name != nullptr && name->is_string() && name->get_string() == "default";
    if (chosen.empty() || is_default) chosen = text->get_string();
    if (is_default) break;
  }
  return chosen;
}

}  // namespace

void keep_tokenizer(Result<text::TokenizerPtr> loaded, Checkpoint& out) {
  if (loaded.ok()) {
    out.tokenizer = std::move(loaded).value();
  } else {
    out.tokenizer_problem = loaded.error().render();
  }
}

void load_folder_tokenizer(const fs::path& folder, Checkpoint& out) {
  keep_tokenizer(from_folder(folder, out.dialect), out);
}

Status load_chat_template(const fs::path& folder, Checkpoint& out) {
  const fs::path jinja = folder / "chat_template.jinja";
  if (fs::exists(jinja)) {
    out.chat_template = TRY(read_file(jinja, kMaxTemplateBytes));
    return {};
  }
  for (const char* name : {"chat_template.json", "tokenizer_config.json"}) {
    if (!fs::exists(folder / name)) continue;
    out.chat_template = template_of(TRY(read_json_object(folder / name)));
    if (!out.chat_template.empty()) return {};
  }
  return {};
}

}  // namespace maestrale::files
