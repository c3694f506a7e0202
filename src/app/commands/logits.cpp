// maestrale logits: the model's logits at every position of a token list, to a file.
#include <bit>
#include <cstring>
#include <memory>

#include "app/commands/commands.h"
#include "app/parse.h"
#include "app/render.h"
#include "app/session.h"
#include "app/stream_file.h"

namespace maestrale::app {
namespace {

struct Options {
  std::string model, output;
  std::vector<text::TokenId> tokens;
  CommonOptions common;
};

constexpr std::int64_t kChunk = 64;  // positions whose logits are held at once

static_assert(std::endian::native == std::endian::little, "the output is little-endian");

Status run(Options& options) {
  const auto count = static_cast<std::int64_t>(options.tokens.size());
  engine::LoadOptions load = TRY(load_options(options.common, ops::KvType::kF32));
  if (load.context == 0) load.context = count;
  if (count > load.context) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "more tokens than the context holds",
                 .where = "--tokens",
                 .expected = "at most " + std::to_string(load.context),
                 .found = std::to_string(count)};
  }
  const auto engine =
      TRY(load_engine(TRY(files::open_checkpoint(options.model)), options.common, std::move(load)));
  const std::int64_t vocabulary = engine->info().vocabulary;
  TRY(check_tokens(options.tokens, vocabulary, "--tokens"));
  StreamFile file = TRY(StreamFile::create(options.output));
  std::vector<float> logits(static_cast<std::size_t>(std::min(count, kChunk) * vocabulary));
  const int sequence = engine->open_sequence();
  ProgressBar bar("computing", options.common.quiet);
  const std::span<const text::TokenId> tokens(options.tokens);
  for (std::int64_t position = 0; position < count; position += kChunk) {
    const auto rows = static_cast<std::size_t>(std::min(kChunk, count - position));
    const auto part = tokens.subspan(static_cast<std::size_t>(position), rows);
    TRY(engine->append(sequence, part, position, nullptr, logits.data()));
    const std::size_t bytes = rows * static_cast<std::size_t>(vocabulary) * sizeof(float);
    TRY(file.write({reinterpret_cast<const char*>(logits.data()), bytes}));
    bar.update(static_cast<double>(position) / static_cast<double>(count));
  }
  bar.finish();
  engine->close_sequence(sequence);
  TRY(file.commit());
  if (!options.common.json) return {};
  return write_json(json::object{{"model", options.model},
                                 {"positions", count},
                                 {"vocabulary", vocabulary},
                                 {"output", options.output},
                                 {"isa", engine->isa()}});
}

}  // namespace

Command add_logits(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("logits", "write the logits at every position");
  add_text(*app, "MODEL", options->model, "model file or folder")->required();
  add_parsed(
      *app, "--tokens", "IDS",
      [options = options.get()](const std::string& text) -> Status {
        options->tokens = TRY(parse_tokens(text, "--tokens"));
        return {};
      },
      "token ids, such as 1,2,3; no BOS is added")
      ->required();
  add_text(*app, "-o,--output", options->output,
           "file for the logits: float32, little-endian, positions x vocabulary")
      ->required();
  add_common_options(*app, options->common);
  add_packed_option(*app, options->common);
  add_adapter_option(*app, options->common);
  app->footer(
      "The attention cache is f32 here unless --kv-type says otherwise.\n"
      "Example:\n"
      "  maestrale logits model.gguf --tokens 1,403,407 --output logits.f32");
  return {app, [options] { return run(*options); }};
}

}  // namespace maestrale::app
