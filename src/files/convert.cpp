#include "files/convert.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <memory>
#include <optional>

#include "files/convert_plan.h"
#include "files/gguf_writer.h"
#include "files/openers.h"
#include "files/safetensors_writer.h"
#include "files/vocabulary_source.h"

namespace maestrale::files {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kQuantizationVersion = 2;  // general.quantization_version of today's block layouts

std::vector<TensorDeclaration> declarations(const ConvertPlan& plan) {
  std::vector<TensorDeclaration> out;
  for (const TensorJob& job : plan.jobs) out.push_back(job.target);
  return out;
}

// The commonest type of the matrices, for general.file_type and torch_dtype.
DType main_type(const ConvertPlan& plan) {
  std::unordered_map<int, std::uint64_t> bytes;
  DType best = DType::kF32;
  std::uint64_t most = 0;
  for (const TensorJob& job : plan.jobs) {
    if (job.target.shape.size() < 2 || job.is_computed()) continue;
    std::uint64_t& sum = bytes[static_cast<int>(job.target.dtype)];
    sum += job.elements();
    if (sum <= most) continue;
    most = sum;
    best = job.target.dtype;
  }
  return best;
}

std::uint32_t file_type(const ConvertOptions& options, const ConvertPlan& plan) {
  const auto mix =
      quant_mix(options.type.empty() ? traits(main_type(plan)).name : std::string_view(options.type));
  return mix.ok() ? mix->file_type : 1024;  // 1024: guessed
}

std::string torch_dtype(const ConvertPlan& plan) {
  const std::string_view type = traits(main_type(plan)).name;
  return type == "f32" ? "float32" : type == "f16" ? "float16" : "bfloat16";
}

Status stream_all(const ConvertPlan& plan, const Checkpoint& source, const ConvertOptions& options,
                  TensorSink& sink, const std::function<void(const ConvertProgress&)>& progress,
                  ConvertReport& report) {
  ThreadPool pool(
      std::min(options.threads > 0 ? options.threads : available_cores(), ThreadPool::kMaxThreads));
  ConvertProgress now{.tensors = plan.jobs.size(), .name = {}};
  for (const TensorJob& job : plan.jobs) now.bytes_total += TRY(declared_bytes(job.target));
  for (const TensorJob& job : plan.jobs) {
    now.name = job.target.name;
    if (progress) progress(now);
    TRY(stream_tensor(job, pool, sink));
    if (job.source != nullptr) source.release(*job.source);
    for (const TensorView* read : job.reads) source.release(*read);
    now.bytes_done += TRY(declared_bytes(job.target));
    ++now.tensor;
  }
  if (progress) progress(now);
  report.tensors = plan.jobs.size();
  report.bytes = now.bytes_done;
  return sink.finish();
}

// ---- vocabulary ----

Result<text::GgufVocabulary> vocabulary_of(const Checkpoint& source) {
  switch (source.dialect) {
    case Dialect::kGguf:
      return TRY(parse_gguf(source.mappings.front().bytes(), source.path.string())).vocabulary;
    case Dialect::kHuggingFace:
    case Dialect::kMistral:
      return vocabulary_of_folder(source.mappings.front().path().parent_path(), source.dialect);
    case Dialect::kLlama2c:
      break;
  }
  const fs::path path = llama2c_tokenizer_path(source.mappings.front().path(),
                                               source.metadata.at("vocab_size").to_number<std::int64_t>());
  if (path.empty())
    return Error{.kind = ErrorKind::kNotFound,
                 .what = "no single tokenizer.bin fits the model",
                 .where = source.path.string()};
  const std::string bytes = TRY(read_file(path, 64 << 20));
  return vocabulary_from_llama2c(bytes, source.metadata.at("vocab_size").to_number<std::int64_t>(),
                                 path.string());
}

std::optional<std::int64_t> id_in(const json::object& config, std::string_view key) {
  const json::value* value = config.if_contains(key);
  if (value != nullptr && value->is_array() && !value->get_array().empty())
    value = &value->get_array().front();
  return value != nullptr && value->is_int64() ? std::optional(value->get_int64()) : std::nullopt;
}

// Embeddings are often longer than the vocabulary; GGUF wants a token for each row.
void complete_vocabulary(const Checkpoint& source, const ModelFacts& facts, text::GgufVocabulary& out) {
  const json::value* inner = source.metadata.if_contains("text_config");
  const json::object& config = inner != nullptr && inner->is_object() ? inner->get_object() : source.metadata;
  if (!out.bos) out.bos = id_in(config, "bos_token_id");
  if (!out.eos) out.eos = id_in(config, "eos_token_id");
  constexpr std::int32_t kUnused = 5;
  while (out.tokens.size() < static_cast<std::size_t>(facts.vocabulary)) {
    out.tokens.push_back("[PAD" + std::to_string(out.tokens.size()) + "]");
    if (!out.token_types.empty()) out.token_types.push_back(kUnused);
    if (!out.scores.empty()) out.scores.push_back(0);
  }
}

// Tokens of no meaning, for a checkpoint that comes from no file.
text::GgufVocabulary placeholder_vocabulary(std::int64_t size) {
  constexpr std::int32_t kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6;
  text::GgufVocabulary out;
  out.model = "llama";
  out.tokens = {"<unk>", "<s>", "</s>"};
  out.token_types = {kUnknown, kControl, kControl};
  for (int byte = 0; byte < 256; ++byte) {
    out.tokens.push_back(fmt::format("<0x{:02X}>", byte));
    out.token_types.push_back(kByte);
  }
  while (out.tokens.size() < static_cast<std::size_t>(size)) {
    out.tokens.push_back(fmt::format("\u2581{}", out.tokens.size()));
    out.token_types.push_back(kNormal);
  }
  out.tokens.resize(static_cast<std::size_t>(size));
  out.token_types.resize(out.tokens.size());
  for (std::size_t i = 0; i < out.tokens.size(); ++i) out.scores.push_back(-static_cast<float>(i));
  out.bos = 1;
  out.eos = 2;
  out.unknown = 0;
  return out;
}

Result<text::GgufVocabulary> completed_vocabulary(const Checkpoint& source, const ModelFacts& facts) {
  text::GgufVocabulary out = TRY(vocabulary_of(source));
  if (out.model.empty() || out.tokens.empty()) {
    return Error{
        .kind = ErrorKind::kNotFound, .what = "the model holds no vocabulary", .where = source.path.string()};
  }
  complete_vocabulary(source, facts, out);
  return out;
}

// ---- GGUF ----

Status copy_gguf_keys(const Checkpoint& source, const ConvertOptions& options, const ConvertPlan& plan,
                      GgufKeys& keys) {
  const GgufFile file = TRY(parse_gguf(source.mappings.front().bytes(), source.path.string()));
  for (const GgufKey& key : file.keys) {
    const bool replaced = key.name == "general.file_type" || key.name == "general.quantization_version" ||
                          key.name == "general.alignment" || key.name.starts_with("split.");
    if (!replaced) keys.add(key);
  }
  keys.add("general.file_type", file_type(options, plan));
  keys.add("general.quantization_version", kQuantizationVersion);
  return {};
}

Status make_gguf_keys(const Checkpoint& source, const ModelFacts& facts, const ConvertOptions& options,
                      const ConvertPlan& plan, GgufKeys& keys, ConvertReport& report) {
  add_gguf_keys(facts, keys);
  keys.add("general.file_type", file_type(options, plan));
  keys.add("general.quantization_version", kQuantizationVersion);
  if (source.mappings.empty()) {
    keys.add(placeholder_vocabulary(facts.vocabulary));
    report.tokenizer_problem = source.tokenizer_problem + "; its tokens are placeholders";
    return {};
  }
  auto vocabulary = completed_vocabulary(source, facts);
  if (vocabulary.ok()) {
    keys.add(*vocabulary);
  } else {
    report.tokenizer_problem = vocabulary.error().render();
  }
  if (!source.chat_template.empty()) keys.add("tokenizer.chat_template", source.chat_template);
  return {};
}

Result<ConvertReport> to_gguf(const Checkpoint& source, const fs::path& destination,
                              const ConvertOptions& options,
                              const std::function<void(const ConvertProgress&)>& progress) {
  ConvertReport report;
  ConvertPlan plan;
  GgufKeys keys;
  if (source.dialect == Dialect::kGguf) {
    plan = TRY(plan_same_names(source, options));
    TRY(copy_gguf_keys(source, options, plan, keys));
  } else {
    const ModelFacts facts = TRY(read_facts(source));
    plan = TRY(plan_translation(source, facts, options));
    TRY(make_gguf_keys(source, facts, options, plan, keys, report));
  }
  for (const TensorJob& job : plan.jobs) TRY(check_job(job));
  const auto sink = TRY(GgufWriter::create(destination, keys, declarations(plan)));
  TRY(stream_all(plan, source, options, *sink, progress, report));
  report.left_out = std::move(plan.left_out);
  return report;
}

// ---- safetensors ----

Status copy_companions(const fs::path& from, const fs::path& to) {
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "tokenizer.model",
                           "special_tokens_map.json", "added_tokens.json", "generation_config.json",
                           "chat_template.jinja", "chat_template.json", "tekken.json"}) {
    std::error_code code;
    if (!fs::exists(from / name)) continue;
    if (fs::copy_file(from / name, to / name, code)) continue;
    return Error{
        .kind = ErrorKind::kIo, .what = "cannot copy: " + code.message(), .where = (from / name).string()};
  }
  return {};
}

json::value spelled(const text::GgufVocabulary& vocabulary, const std::optional<std::int64_t>& id) {
  const bool known = id && *id >= 0 && static_cast<std::size_t>(*id) < vocabulary.tokens.size();
  return known ? json::value(vocabulary.tokens[static_cast<std::size_t>(*id)]) : json::value(nullptr);
}

Status write_tokenizer(const Checkpoint& source, const ModelFacts& facts, const fs::path& folder,
                       ConvertReport& report) {
  auto vocabulary = completed_vocabulary(source, facts);
  auto text = vocabulary.ok() ? tokenizer_json_from(*vocabulary, source.path.string())
                              : Result<std::string>(vocabulary.error());
  if (!text.ok()) {
    report.tokenizer_problem = text.error().render();
    return {};
  }
  TRY(write_file(folder / "tokenizer.json", *text));
  json::object config;
  config["bos_token"] = spelled(*vocabulary, vocabulary->bos);
  config["eos_token"] = spelled(*vocabulary, vocabulary->eos);
  if (vocabulary->unknown) config["unk_token"] = spelled(*vocabulary, vocabulary->unknown);
  if (vocabulary->add_bos) config["add_bos_token"] = *vocabulary->add_bos;
  if (!source.chat_template.empty()) config["chat_template"] = source.chat_template;
  return write_file(folder / "tokenizer_config.json", json::serialize(config));
}

// The model's own config with its new type.
json::object config_with_type(const Checkpoint& source, const ConvertPlan& plan) {
  json::object config = source.metadata;
  config[config.contains("dtype") ? "dtype" : "torch_dtype"] = torch_dtype(plan);
  return config;
}

Result<ConvertReport> to_safetensors(const Checkpoint& source, const fs::path& folder,
                                     const ConvertOptions& options,
                                     const std::function<void(const ConvertProgress&)>& progress) {
  ConvertReport report;
  ConvertPlan plan;
  ModelFacts facts;
  const bool same = source.dialect == Dialect::kHuggingFace;
  if (same) {
    plan = TRY(plan_same_names(source, options));
  } else {
    facts = TRY(read_facts(source));
    if (!facts.is_dense()) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "mixtures of experts and latent attention are written to GGUF only",
                   .where = source.path.string(),
                   .hint = "choose a target that ends in .gguf"};
    }
    plan = TRY(plan_translation(source, facts, options));
  }
  for (const TensorJob& job : plan.jobs) TRY(check_job(job));
  const json::object config =
      same ? config_with_type(source, plan) : TRY(hugging_face_config(facts, torch_dtype(plan)));
  std::error_code code;
  if (!fs::create_directories(folder, code)) {
    return Error{.kind = ErrorKind::kIo,
                 .what = "cannot make the folder: " + code.message(),
                 .where = folder.string()};
  }
  const auto sink = TRY(SafetensorsWriter::create(folder / "model.safetensors", declarations(plan)));
  TRY(stream_all(plan, source, options, *sink, progress, report));
  TRY(write_file(folder / "config.json", json::serialize(config)));
  TRY(same ? copy_companions(source.mappings.front().path().parent_path(), folder)
           : write_tokenizer(source, facts, folder, report));
  report.left_out = std::move(plan.left_out);
  return report;
}

}  // namespace

Result<ConvertReport> convert_checkpoint(const fs::path& source, const fs::path& destination,
                                         const ConvertOptions& options,
                                         const std::function<void(const ConvertProgress&)>& progress) {
  const Checkpoint checkpoint = TRY(open_checkpoint(source, {.load_tokenizer = false}));
  return convert_checkpoint(checkpoint, destination, options, progress);
}

Result<ConvertReport> convert_checkpoint(const Checkpoint& source, const fs::path& destination,
                                         const ConvertOptions& options,
                                         const std::function<void(const ConvertProgress&)>& progress) {
  if (fs::exists(destination)) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "the target exists already",
                 .where = destination.string(),
                 .hint = "choose another name, or remove it first"};
  }
  if (!options.type.empty()) TRY(quant_mix(options.type));
  if (options.container == Container::kGguf) return to_gguf(source, destination, options, progress);
  if (source.mappings.empty()) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "only a GGUF file can be made of this",
                 .where = source.path.string(),
                 .hint = "choose a target that ends in .gguf"};
  }
  return to_safetensors(source, destination, options, progress);
}

}  // namespace maestrale::files
