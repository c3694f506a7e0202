// maestrale embed: a vector for every line of the input.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "app/commands/commands.h"
#include "app/lines.h"
#include "app/render.h"
#include "app/session.h"
#include "engine/embed.h"

namespace maestrale::app {
namespace {

struct Options {
  std::string model;
  engine::EmbedOptions embed;
  bool truncate = false;
  CommonOptions common;
};

constexpr std::int64_t kRows = 512;  // of a batch at least
constexpr std::int64_t kMaxRows = 4096;
constexpr std::int64_t kTogether = 16;  // texts in a batch at most

using Texts = std::vector<std::vector<text::TokenId>>;

// Room for the longest text, and for several of them where they are short.
Result<engine::LoadOptions> options_for(const Options& options, const Texts& texts) {
  engine::LoadOptions load = TRY(load_options(options.common, ops::KvType::kF32));
  std::int64_t longest = 1;
  for (const auto& text : texts) longest = std::max(longest, static_cast<std::int64_t>(text.size()));
  if (load.context == 0) load.context = longest;
  load.batch_rows = std::clamp(longest, kRows, kMaxRows);
  load.sequences = static_cast<int>(std::clamp<std::int64_t>(kMaxRows / longest, 1, kTogether));
  return load;
}

Status print(const Options& options, const engine::EmbedSettings& settings, const Texts& texts,
             const std::vector<std::vector<float>>& vectors) {
  if (options.common.json) {
    json::array list;
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      list.push_back(json::object{{"tokens", texts[i].size()},
                                  {"embedding", json::array(vectors[i].begin(), vectors[i].end())}});
    }
    return write_json(json::object{{"model", options.model},
                                   {"pooling", engine::pooling_name(settings.pooling)},
                                   {"normalized", settings.normalize},
                                   {"dimensions", settings.dimensions},
                                   {"embeddings", std::move(list)}});
  }
  for (const std::vector<float>& vector : vectors)
    TRY(write_out(fmt::format("{}\n", fmt::join(vector, " "))));
  return {};
}

Status run(const Options& options) {
  files::Checkpoint checkpoint = TRY(files::open_checkpoint(options.model));
  const text::Tokenizer* tokenizer = TRY(tokenizer_of(checkpoint));
  Texts texts;
  for (const std::string& line : TRY(read_lines()))
    texts.push_back(tokenizer->encode(line, {.add_special = true}));
  engine::LoadOptions load = TRY(options_for(options, texts));
  const auto engine = TRY(load_engine(std::move(checkpoint), options.common, std::move(load)));
  engine::Embedder embedder = TRY(engine::Embedder::create(*engine, options.embed));
  if (options.truncate) {
    for (auto& text : texts) engine::truncate_text(text, embedder.longest(), *engine->tokenizer());
  }
  return print(options, embedder.settings(), texts, TRY(embedder.embed(texts)));
}

}  // namespace

Command add_embed(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("embed", "a vector for every line of the input");
  add_text(*app, "MODEL", options->model, "model file or folder")->required();
  add_parsed(
      *app, "--pooling", "NAME",
      [options = options.get()](const std::string& text) -> Status {
        options->embed.pooling = engine::pooling_from_name(text);
        if (options->embed.pooling) return {};
        return Error{.kind = ErrorKind::kUsage,
                     .what = "unknown pooling",
                     .where = "--pooling",
                     .expected = "mean, cls or last",
                     .found = "'" + text + "'"};
      },
      "which states make the vector: mean, cls (the first) or last (default: the model's)");
  add_parsed(
      *app, "--normalize", "on|off",
      [options = options.get()](const std::string& text) -> Status {
        options->embed.normalize = text == "on";
        if (text == "on" || text == "off") return {};
        return Error{.kind = ErrorKind::kUsage,
                     .what = "not understood",
                     .where = "--normalize",
                     .expected = "on or off",
                     .found = "'" + text + "'"};
      },
      "vectors of length 1 (default: on)");
  add_integer(*app, "--dimensions", options->embed.dimensions, 1, kMaxRows * 16,
              "only the first N dimensions, for models that were trained for that (default: all)");
  app->add_flag("--truncate", options->truncate, "cut texts that are too long instead of refusing them");
  add_common_options(*app, options->common);
  add_packed_option(*app, options->common);
  add_adapter_option(*app, options->common);
  app->footer(
      "Prints one line of numbers for each line. Some models want a word before the text, such as \"query: "
      "\";\n"
      "their authors say so.\n"
      "Example:\n"
      "  maestrale embed ./bge-small-en-v1.5 --json < lines.txt");
  return {app, [options] { return run(*options); }};
}

}  // namespace maestrale::app
