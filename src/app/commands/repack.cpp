// maestrale repack: a model's weights as the kernels read them, in a file of their own.
#include <filesystem>
#include <memory>

#include "app/commands/commands.h"
#include "app/options.h"
#include "app/program.h"
#include "app/render.h"
#include "app/session.h"

namespace maestrale::app {
namespace {

struct Options {
  std::string model, out;
  CommonOptions common;
};

Status run(const Options& options) {
  const std::string out = options.out.empty() ? options.model + ".packed" : options.out;
  const auto engine = TRY(load_engine(options.model, options.common));
  TRY(engine->write_packed(out));
  const std::uint64_t bytes = std::filesystem::file_size(out);
  if (options.common.json) return write_json(json::object{{"packed", out}, {"bytes", bytes}});
  write_note(out + ": " + std::to_string(bytes) + " bytes");
  return {};
}

}  // namespace

Command add_repack(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("repack", "write a model's weights as the kernels read them");
  add_text(*app, "MODEL", options->model, "model file or folder")->required();
  add_text(*app, "-o,--out", options->out, "file to write (default: MODEL.packed)");
  add_common_options(*app, options->common);
  add_mtp_option(*app, options->common);
  app->footer(
      "With --packed FILE the commands that run the model map the file instead of packing the weights anew:\n"
      "they start at once, and several of them share its memory. The model itself stays necessary.\n"
      "Example:\n"
      "  maestrale repack model.gguf\n"
      "  maestrale generate model.gguf --packed model.gguf.packed --prompt \"Once upon a time\"");
  return {app, [options] { return run(*options); }};
}

}  // namespace maestrale::app
