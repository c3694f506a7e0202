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

std::string name_of(const ServedModelOptions& options) {
  if (!options.name.empty()) return options.name;
  const std::filesystem::path path = std::filesystem::path(options.path).lexically_normal();
  const std::filesystem::path last = path.has_filename() ? path.filename() : path.parent_path().filename();
  return last.extension() == ".gguf" || last.extension() == ".bin" ? last.stem().string() : last.string();
}

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

}  // namespace

Result<serve::ServedModel> load_served_model(const ServedModelOptions& options, const CommonOptions& common) {
  files::Checkpoint checkpoint = TRY(files::open_checkpoint(options.path));
  engine::LoadOptions load = TRY(load_options(common, ops::KvType::kF16));
  serve::ServedModel model{
      .id = name_of(options), .created_s = std::time(nullptr), .file_bytes = checkpoint.file_bytes()};
  const bool encodes = options.embed || TRY(is_encoder(checkpoint, load));
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
    return model;
  }
  model.chat = TRY(start_chat(std::move(engine), options));
  if (!model.chat->can_chat() && !common.quiet)
    write_note(fmt::format("{} has no chat template: it only continues text (see --template)", model.id));
  return model;
}

}  // namespace maestrale::app
