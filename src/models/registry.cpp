#include "models/registry.h"

#include <array>
#include <sstream>
#include <string>

#include "base/check.h"

namespace maestrale::models {

#define MODEL(id, gguf, hugging_face, ...) const ModelEntry& id##_entry();
#include "models/registry.def"
#undef MODEL

namespace {

using files::Dialect;

struct Row {
  std::string_view id, gguf, hugging_face, mistral;
  const ModelEntry& (*entry)();
};

constexpr std::array kRows = {
#define MODEL(id, gguf, hugging_face, mistral) Row{#id, gguf, hugging_face, mistral, id##_entry},
#include "models/registry.def"
#undef MODEL
};

bool lists(std::string_view list, const std::string& name) {
  std::istringstream words{std::string(list)};
  for (std::string word; words >> word;) {
    if (word == name) return true;
  }
  return false;
}

bool reads(const Row& row, Dialect dialect, const std::string& architecture) {
  switch (dialect) {
    case Dialect::kGguf:
      return lists(row.gguf, architecture);
    case Dialect::kHuggingFace:
      return lists(row.hugging_face, architecture);
    case Dialect::kMistral:
      return lists(row.mistral, architecture);
    case Dialect::kLlama2c:
      return row.id == "llama";
  }
  return false;
}

// Some architectures are published under the name of the one that they extend.
std::string refined(std::string name, const JsonFields& fields) {
  const std::string experts = name + ".expert_count";
  if (name == "llama" && fields.integer_or(experts, 0).ok() && *fields.integer_or(experts, 0) > 0)
    return "llama-moe";
  if (name == "mistral" && fields.has("kv_lora_rank")) return "mistral-latent";
  const Result<std::string> type = fields.string_or("model_type", "");
  if (name == "mistral" && type.ok() && *type == "mamba") return "mistral-mamba";
  constexpr const char* kText = "text_config";  // Small 4's text inside Mistral 3's wrapper
  if (name == "Mistral3ForConditionalGeneration" && fields.has(kText) && fields.object(kText).ok() &&
      (*fields.object(kText))->contains("kv_lora_rank")) {
    return "Mistral4ForCausalLM";
  }
  return name == "mistral" && fields.has("moe") ? "mistral-moe" : name;
}

}  // namespace

Result<std::string> published_architecture(const files::Checkpoint& checkpoint) {
  const JsonFields fields(checkpoint.metadata, checkpoint.path.string());
  switch (checkpoint.dialect) {
    case Dialect::kGguf:
      return refined(TRY(fields.string("general.architecture")), fields);
    case Dialect::kMistral:
      return refined("mistral", fields);
    case Dialect::kLlama2c:
      return std::string("llama2.c");
    case Dialect::kHuggingFace:
      break;
  }
  const json::array* names = TRY(fields.array("architectures"));
  if (names->empty() || !names->front().is_string()) {
    return Error{.what = "config.json names no architecture",
                 .where = checkpoint.path.string(),
                 .expected = "\"architectures\": [\"…ForCausalLM\"]"};
  }
  return refined(std::string(names->front().get_string()), fields);
}

Result<const ModelEntry*> find_entry(const files::Checkpoint& checkpoint) {
  const std::string architecture = TRY(published_architecture(checkpoint));
  std::string known;
  for (const Row& row : kRows) {
    if (reads(row, checkpoint.dialect, architecture)) return &row.entry();
    const std::string_view names = checkpoint.dialect == Dialect::kHuggingFace ? row.hugging_face
                                   : checkpoint.dialect == Dialect::kMistral   ? row.mistral
                                                                               : row.gguf;
    known += (known.empty() || names.empty() ? "" : " ") + std::string(names);
  }
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "architecture '" + architecture + "' is not supported",
               .where = checkpoint.path.string(),
               .expected = "one of: " + known};
}

void Model::states(ops::Ops&, const Batch&, ops::KvCache&, std::span<std::byte>, float*) const {
  CHECK(false, "only where info().states");
}

void Model::scores(ops::Ops&, const Batch&, ops::KvCache&, std::span<std::byte>, float*) const {
  CHECK(false, "only where info().labels");
}

void Model::predict(ops::Ops&, const Batch&, ops::KvCache&, std::span<std::byte>, float*, float*) const {
  CHECK(false, "only where info().mtp");
}

std::vector<std::string> registered_architectures() {
  std::vector<std::string> ids;
  for (const Row& row : kRows) ids.emplace_back(row.id);
  return ids;
}

Result<LoadPlan> plan_model(const files::Checkpoint& checkpoint, const ops::Ops& ops) {
  const ModelEntry* entry = TRY(find_entry(checkpoint));
  return entry->plan(checkpoint, ops);
}

Result<std::unique_ptr<Model>> load_model(const files::Checkpoint& checkpoint, ops::Ops& ops,
                                          const Progress& progress) {
  const ModelEntry* entry = TRY(find_entry(checkpoint));
  return entry->load(checkpoint, ops, progress);
}

}  // namespace maestrale::models
