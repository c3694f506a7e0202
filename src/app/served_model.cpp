#include "app/served_model.h"

#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <memory>

#include "app/render.h"
#include "app/session.h"
#include "base/file.h"
#include "models/model.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::app {
namespace {

constexpr std::uint64_t kMaxTemplateBytes = 1u << 24;
constexpr std::int64_t kEncoderRows = 512;  // of a batch at least
constexpr std::int64_t kMaxEncoderRows = 4096;
constexpr int kTextsTogether = 16;

// Encoders predict no tokens: they can only be served for their vectors and scores.
Result<bool> is_encoder(const files::Checkpoint& checkpoint, const engine::LoadOptions& load) {
  const auto ops = TRY(ops::make_cpu_ops(load.isa, 1));
  return !TRY(models::plan_model(checkpoint, *ops)).info.logits;
}

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

Result<std::unique_ptr<chat::ChatService>> start_chat(std::unique_ptr<engine::Engine> engine,
                                                      const ServedModelOptions& options) {
  engine::ServiceOptions service{.queue = options.queue,
                                 .running = options.running,
                                 .chunk = options.chunk,
                                 .prefix_cache = !options.no_prefix_cache};
  service.stream_events = 1024;
  chat::ChatServiceOptions chat;
  if (!options.template_file.empty()) {
    chat.template_source = TRY(read_file(options.template_file, kMaxTemplateBytes));
    chat.template_name = options.template_file;
  }
  return chat::ChatService::create(TRY(engine::Service::start(std::move(engine), service)), chat);
}

// The adapters as models of their own.
std::vector<serve::ServedModel> with_adapters(serve::ServedModel model, const ServedModelOptions& options) {
  std::vector<serve::ServedModel> models;
  models.push_back(std::move(model));
  for (const ServedAdapter& adapter : options.adapters) {
    const serve::ServedModel& base = models.front();
    const int index = static_cast<int>(models.size()) - 1;
    models.push_back({.id = adapter.name,
                      .chat = base.chat,
                      .created_s = base.created_s,
                      .file_bytes = base.file_bytes,
                      .load_s = base.load_s,
                      .base = base.id,
                      .adapter = chat::AdapterWish{index, adapter.file.scale}});
  }
  return models;
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

Result<std::vector<serve::ServedModel>> load_served_model(const ServedModelOptions& options,
                                                          const CommonOptions& common) {
  files::Checkpoint checkpoint = TRY(files::open_checkpoint(options.path));
  engine::LoadOptions load = TRY(load_options(common, ops::KvType::kF16));
  serve::ServedModel model{
      .id = served_name(options), .created_s = std::time(nullptr), .file_bytes = checkpoint.file_bytes()};
  const bool encodes = options.embed || TRY(is_encoder(checkpoint, load));
  if (encodes && !options.adapters.empty()) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "adapters go beside models that generate",
                 .where = "--adapter " + options.adapters.front().name,
                 .found = "'" + model.id + "', which embeds"};
  }
  for (const ServedAdapter& adapter : options.adapters)
    checkpoint.adapters.push_back(TRY(files::open_adapter(adapter.file.path)));
  if (encodes) {
    load = TRY(encoder_options(checkpoint, common));
  } else {
    load.sequences = static_cast<int>(options.running);
    load.batch_rows = std::max<std::int64_t>(options.chunk, options.running);
    load.pack_experts = true;
    load.kv_tokens = options.kv_tokens;
    load.fit_kv = true;
  }
  auto engine = TRY(load_engine(std::move(checkpoint), common, std::move(load)));
  model.load_s = engine->load_seconds();
  if (encodes) {
    auto service = TRY(engine::EncodeService::start(std::move(engine), options.queue));
    model.encoder = TRY(chat::Encoder::create(std::move(service)));
    return with_adapters(std::move(model), options);
  }
  model.chat = TRY(start_chat(std::move(engine), options));
  if (!model.chat->can_chat() && !common.quiet)
    write_note(fmt::format("{} has no chat template: it only continues text (see --template)", model.id));
  return with_adapters(std::move(model), options);
}

}  // namespace maestrale::app
