#include "app/served_model.h"

#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <memory>

#include "app/render.h"
#include "app/session.h"
#include "base/file.h"
#include "base/memory.h"
#include "engine/packed_file.h"
#include "models/model.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::app {
namespace {

constexpr std::uint64_t kMaxTemplateBytes = 1u << 24;
constexpr std::int64_t kEncoderRows = 512;  // of a batch at least
constexpr std::int64_t kMaxEncoderRows = 4096;
constexpr int kTextsTogether = 16;

// As `maestrale embed` computes. Room for the longest text, and for a batch of short ones beside it.
Result<engine::LoadOptions> encoder_options(const files::Checkpoint& checkpoint,
                                            const CommonOptions& common) {
  engine::LoadOptions load = TRY(load_options(common, ops::KvType::kF32));
  const std::int64_t context = TRY(engine::plan_memory(checkpoint, load)).context;
  load.context = context;
  load.batch_rows = std::clamp(context, kEncoderRows, kMaxEncoderRows);
  load.sequences = kTextsTogether;
  load.kv_tokens = context + load.batch_rows + kTextsTogether * ops::kPageTokens;
  return load;
}

// A model's files, opened and checked, with how it is to be loaded.
class OpenedFiles final : public serve::OpenedModel {
 public:
  static Result<std::unique_ptr<OpenedFiles>> open(const ServedModelOptions& options,
                                                   const CommonOptions& common);

  Result<std::uint64_t> plan(std::uint64_t most) override {
    load_.memory_budget = std::max<std::uint64_t>(most, 1);
    const engine::MemoryPlan plan = TRY(engine::plan_memory(checkpoint_, load_));
    TRY(plan.check(load_.memory_budget));
    return plan.total();
  }
  Result<std::shared_ptr<serve::ModelService>> load(std::uint64_t bytes) override {
    load_.memory_budget = bytes;
    return load();
  }
  // With the memory that the options say.
  Result<std::shared_ptr<serve::ModelService>> load();

  serve::ServedModel entry() const {
    return {.id = served_name(options_),
            .created_s = std::time(nullptr),
            .file_bytes = checkpoint_.file_bytes(),
            .facts = facts_};
  }
  std::uint64_t fingerprint() const { return engine::fingerprint(checkpoint_); }

 private:
  OpenedFiles(const ServedModelOptions& options, const CommonOptions& common)
      : options_(options), common_(common) {}
  Status learn();
  std::optional<engine::PrefixStoreOptions> store() const;

  ServedModelOptions options_;
  CommonOptions common_;
  chat::ChatServiceOptions chat_;
  files::Checkpoint checkpoint_;
  engine::LoadOptions load_;
  serve::ModelFacts facts_;
};

Result<std::unique_ptr<OpenedFiles>> OpenedFiles::open(const ServedModelOptions& options,
                                                       const CommonOptions& common) {
  std::unique_ptr<OpenedFiles> files(new OpenedFiles(options, common));  // NOLINT: the constructor is private
  files->checkpoint_ = TRY(files::open_checkpoint(options.path));
  files->checkpoint_.mtp = common.mtp && common.draft.empty();
  if (!options.template_file.empty()) {
    files->chat_.template_source = TRY(read_file(options.template_file, kMaxTemplateBytes));
    files->chat_.template_name = options.template_file;
  }
  for (const ServedAdapter& adapter : options.adapters)
    files->checkpoint_.adapters.push_back(TRY(files::open_adapter(adapter.file.path)));
  TRY(files->learn());
  return files;
}

Status OpenedFiles::learn() {
  load_ = TRY(load_options(common_, ops::KvType::kF16));
  const auto ops = TRY(ops::make_cpu_ops(load_.isa, 1));
  const models::LoadPlan plan = TRY(models::plan_model(checkpoint_, *ops));
  facts_.info = plan.info;
  facts_.format = std::string(files::dialect_name(checkpoint_.dialect));
  facts_.chat_template = checkpoint_.chat_template;
  // Encoders predict no tokens: they can only be served for their vectors and scores.
  const bool encodes = options_.embed || !facts_.info.logits;
  if (encodes && !options_.adapters.empty()) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "adapters go beside models that generate",
                 .where = "--adapter " + options_.adapters.front().name,
                 .found = "'" + served_name(options_) + "', which embeds"};
  }
  if (encodes && !common_.draft.empty() && !options_.embed) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "only what a model says can be guessed",
                 .where = "--draft",
                 .found = "'" + served_name(options_) + "', which embeds"};
  }
  if (encodes) {
    common_.draft.clear();
    common_.mtp = checkpoint_.mtp = false;
    load_ = TRY(encoder_options(checkpoint_, common_));
    facts_.context = load_.context;
    return {};
  }
  if (!options_.prefix_store.empty() && plan.kv.state_bytes() > 0) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "a recurrent model has no prefixes that could be stored",
                 .where = "--prefix-store",
                 .found = "'" + served_name(options_) + "', " + facts_.info.architecture};
  }
  facts_.chat = TRY(chat::ChatService::abilities_of(checkpoint_, chat_));
  load_.sequences = static_cast<int>(options_.running);
  load_.batch_rows = std::max<std::int64_t>(options_.chunk, options_.running);
  load_.pack_experts = true;
  load_.kv_tokens = options_.kv_tokens;
  load_.fit_kv = true;
  load_.prefix_store = !options_.prefix_store.empty();
  facts_.context = TRY(engine::plan_memory(checkpoint_, load_)).context;
  return {};
}

std::optional<engine::PrefixStoreOptions> OpenedFiles::store() const {
  if (options_.prefix_store.empty()) return std::nullopt;
  engine::PrefixStoreOptions store{.folder = options_.prefix_store, .bytes = options_.prefix_store_bytes};
  store.report = [name = served_name(options_)](const std::string& what) {
    write_note(fmt::format("{}: {}", name, what));
  };
  return store;
}

Result<std::shared_ptr<serve::ModelService>> OpenedFiles::load() {
  auto service = std::make_shared<serve::ModelService>();
  auto engine = TRY(load_engine(std::move(checkpoint_), common_, load_));
  if (!facts_.chat) {
    service->encoder =
        TRY(chat::Encoder::create(TRY(engine::EncodeService::start(std::move(engine), options_.queue))));
    return service;
  }
  engine::ServiceOptions serving{.queue = options_.queue,
                                 .running = options_.running,
                                 .chunk = options_.chunk,
                                 .prefix_cache = !options_.no_prefix_cache,
                                 .store = store()};
  auto started = TRY(engine::Service::start(std::move(engine), serving));
  service->chat = TRY(chat::ChatService::create(std::move(started), chat_));
  return service;
}

// Opens the files again, which must be those that were there in the beginning.
serve::OpenModel reopening(const ServedModelOptions& options, CommonOptions common,
                           std::uint64_t fingerprint) {
  common.quiet = true;
  return [options, common, fingerprint]() -> Result<std::unique_ptr<serve::OpenedModel>> {
    auto files = TRY(OpenedFiles::open(options, common));
    if (files->fingerprint() != fingerprint) {
      return Error{.kind = ErrorKind::kIo,
                   .what = "its files are not those that were there when the server started",
                   .where = options.path,
                   .hint = "start the server anew"};
    }
    return std::unique_ptr<serve::OpenedModel>(std::move(files));
  };
}

}  // namespace

Result<ServedAdapter> parse_served_adapter(const std::string& text) {
  const std::size_t end = text.find('=');
  const std::size_t at = std::min(text.find('@'), end);
  if (end == std::string::npos || at == 0 || end + 1 == text.size()) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "not understood",
                 .where = "--adapter",
                 .expected = "NAME=PATH, NAME=PATH=SCALE or NAME@MODEL=PATH",
                 .found = "'" + text + "'"};
  }
  ServedAdapter adapter{.name = text.substr(0, at), .model = {}, .file = {}};
  if (at < end) adapter.model = text.substr(at + 1, end - at - 1);
  adapter.file = TRY(parse_adapter(text.substr(end + 1)));
  return adapter;
}

std::string served_name(const ServedModelOptions& options) {
  if (!options.name.empty()) return options.name;
  const std::filesystem::path path = std::filesystem::path(options.path).lexically_normal();
  const std::filesystem::path last = path.has_filename() ? path.filename() : path.parent_path().filename();
  return last.extension() == ".gguf" || last.extension() == ".bin" ? last.stem().string() : last.string();
}

Status add_served_model(const ServedModelOptions& options, const CommonOptions& common, bool on_demand,
                        serve::Models& models) {
  auto files = TRY(OpenedFiles::open(options, common));
  const serve::ServedModel entry = files->entry();
  if (on_demand) {
    const auto plan = files->plan(common.memory > 0 ? common.memory : available_memory());
    if (!plan.ok() && !common.quiet)
      write_note(fmt::format("{}, as it is now: {}", entry.id, plan.error().render()));
    TRY(models.add(entry, reopening(options, common, files->fingerprint())));
  } else {
    TRY(models.add(entry, TRY(files->load())));
  }
  for (std::size_t i = 0; i < options.adapters.size(); ++i) {
    const ServedAdapter& adapter = options.adapters[i];
    TRY(models.add_adapter(adapter.name, entry.id, {static_cast<int>(i), adapter.file.scale}));
  }
  if (entry.generates() && !entry.facts.chat->chat && !common.quiet)
    write_note(fmt::format("{} has no chat template: it only continues text (see --template)", entry.id));
  return {};
}

}  // namespace maestrale::app
