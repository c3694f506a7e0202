// maestrale convert and quantize: a model into another file, in another number format.
#include "files/convert.h"

#include <fmt/core.h>

#include <filesystem>
#include <memory>
#include <utility>

#include "app/commands/commands.h"
#include "app/render.h"
#include "app/session.h"
#include "files/quant_mix.h"
#include "models/presets.h"

namespace maestrale::app {
namespace {

struct Options {
  std::string source, destination, format, type, preset;
  CommonOptions common;
};

std::string type_list() {
  std::string list;
  for (const std::string_view name : files::quant_mix_names()) {
    if (!list.empty()) list += ", ";
    list += name;
  }
  return list;
}

// The container that was named, or the one that the destination's name means.
Result<files::Container> container_for(const Options& options) {
  if (options.format == "gguf") return files::Container::kGguf;
  if (options.format == "safetensors") return files::Container::kSafetensors;
  if (!options.format.empty()) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "unknown file format",
                 .where = "--format",
                 .expected = "gguf or safetensors",
                 .found = "'" + options.format + "'"};
  }
  const bool gguf = std::filesystem::path(options.destination).extension() == ".gguf";
  return gguf ? files::Container::kGguf : files::Container::kSafetensors;
}

// With a preset there is no source, and the first name is the destination.
Status settle_names(Options& options) {
  if (!options.preset.empty() && options.destination.empty()) {
    options.destination = std::exchange(options.source, "preset " + options.preset);
    return {};
  }
  if (options.preset.empty() && !options.destination.empty()) return {};
  return Error{.kind = ErrorKind::kUsage,
               .what = options.preset.empty() ? "no target" : "two sources",
               .where = "convert",
               .expected = "SRC DST, or --preset NAME DST"};
}

Result<files::Checkpoint> open_source(const Options& options) {
  if (options.preset.empty()) return files::open_checkpoint(options.source, {.load_tokenizer = false});
  return models::preset_checkpoint(options.preset, options.type.empty() ? "q4_0" : options.type);
}

Status convert(Options& options) {
  TRY(settle_names(options));
  files::ConvertOptions convert;
  convert.container = TRY(container_for(options));
  if (options.preset.empty()) convert.type = options.type;  // a preset has it already
  convert.threads = static_cast<int>(options.common.threads);
  const files::Checkpoint source = TRY(open_source(options));
  ProgressBar bar("writing", options.common.quiet);
  const auto report = TRY(files::convert_checkpoint(
      source, options.destination, convert, [&bar](const files::ConvertProgress& progress) {
        if (progress.bytes_total == 0) return;
        bar.update(static_cast<double>(progress.bytes_done) / static_cast<double>(progress.bytes_total));
      }));
  bar.finish();
  if (options.common.json) {
    return write_json(json::object{{"source", options.source},
                                   {"destination", options.destination},
                                   {"tensors", report.tensors},
                                   {"bytes", report.bytes},
                                   {"left_out", json::array(report.left_out.begin(), report.left_out.end())},
                                   {"tokenizer_problem", report.tokenizer_problem}});
  }
  for (const std::string& name : report.left_out) write_note("left out: " + name);
  if (!report.tokenizer_problem.empty()) write_note("without a tokenizer: " + report.tokenizer_problem);
  if (options.common.quiet) return {};
  return write_out(fmt::format("{}: {} tensors, {}\n", options.destination, report.tensors,
                               engine::human_bytes(report.bytes)));
}

}  // namespace

Command add_convert(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("convert", "write a model in another file format");
  add_text(*app, "SRC", options->source, "model file or folder")->required();
  add_text(*app, "DST", options->destination, "file (GGUF) or folder (safetensors) to write; must not exist");
  add_text(*app, "--format", options->format, "gguf or safetensors (default: gguf where DST ends in .gguf)");
  add_text(*app, "--type", options->type,
           "number format of the weights (default: as they are): " + type_list());
  add_text(*app, "--preset", options->preset,
           "instead of SRC: a known shape with random weights (`maestrale bench --help` lists them)");
  add_common_options(*app, options->common);
  app->footer(
      "Examples:\n"
      "  maestrale convert ./Qwen3-0.6B qwen3.gguf --type q8_0\n"
      "  maestrale convert model.gguf ./folder --format safetensors --type bf16\n"
      "  maestrale convert --preset tinyllama-1.1b --type q4_0 random.gguf");
  return {app, [options] { return convert(*options); }};
}

Command add_quantize(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("quantize", "write a model with smaller weights");
  add_text(*app, "SRC", options->source, "model file or folder")->required();
  add_text(*app, "DST", options->destination, "file (GGUF) or folder (safetensors) to write; must not exist")
      ->required();
  add_text(*app, "TYPE", options->type, "one of " + type_list())->required();
  add_common_options(*app, options->common);
  app->footer(
      "Example:\n"
      "  maestrale quantize model-f16.gguf model-q4.gguf q4_k_m");
  return {app, [options] { return convert(*options); }};
}

}  // namespace maestrale::app
