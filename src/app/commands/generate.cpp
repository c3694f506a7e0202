// maestrale generate: the raw continuation of a text.
#include <memory>

#include "app/commands/commands.h"
#include "app/generation.h"
#include "app/render.h"
#include "app/session.h"
#include "base/utf8.h"

namespace maestrale::app {
namespace {

struct Options {
  std::string model, prompt, prompt_file;
  bool has_prompt = false, echo = false, special = false;
  SamplingOptions sampling;
  CommonOptions common;
};

Status check_text(std::string_view text, const std::string& where) {
  const std::size_t bad = find_invalid_utf8(text);
  if (bad == std::string_view::npos) return {};
  return Error{.what = "text is not valid UTF-8",
               .where = where,
               .found = "a wrong byte at offset " + std::to_string(bad)};
}

Status run(const Options& options) {
  const bool from_file = !options.prompt_file.empty();
  if (from_file == options.has_prompt) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = from_file ? "two prompts" : "no prompt",
                 .where = "generate",
                 .expected = "either --prompt TEXT or --prompt-file FILE"};
  }
  const std::string prompt = from_file ? TRY(read_input(options.prompt_file)) : options.prompt;
  TRY(check_text(prompt, from_file ? options.prompt_file : "--prompt"));
  (void)TRY(resolve_sampling(options.sampling, options.common, {}));  // refuse what is wrong before loading
  const auto engine = TRY(load_engine(options.model, options.common));
  const text::Tokenizer* tokenizer = TRY(tokenizer_of(engine->checkpoint()));
  auto tokens = tokenizer->encode(prompt, {.add_special = true, .parse_special = options.special});
  if (tokens.empty())
    return Error{.kind = ErrorKind::kUsage, .what = "the prompt is empty", .where = "--prompt"};
  const auto request = TRY(make_request(std::move(tokens), options.sampling, options.common, *engine));
  if (options.echo && !options.common.json) TRY(write_out(prompt));
  const auto shown = TRY(
      stream_generation(*engine, request, options.common, {.keep_events = options.sampling.logprobs >= 0}));
  return finish_generation(*engine, request, shown, options.common);
}

}  // namespace

Command add_generate(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("generate", "continue a text");
  add_text(*app, "MODEL", options->model, "model file or folder")->required();
  add_parsed(
      *app, "-p,--prompt", "TEXT",
      [options = options.get()](const std::string& text) -> Status {
        options->prompt = text;
        options->has_prompt = true;
        return {};
      },
      "text to continue");
  add_text(*app, "-f,--prompt-file", options->prompt_file,
           "file with the text to continue; - for standard input");
  app->add_flag("--echo", options->echo, "print the prompt before its continuation");
  app->add_flag("--special", options->special, "read special tokens that the prompt spells, such as <s>");
  add_sampling_options(*app, options->sampling);
  add_common_options(*app, options->common);
  add_packed_option(*app, options->common);
  add_draft_option(*app, options->common);
  add_adapter_option(*app, options->common);
  app->footer(
      "Examples:\n"
      "  maestrale generate model.gguf --prompt \"Once upon a time\" --temperature 0\n"
      "  maestrale generate ./Mistral-7B-v0.3 -f story.txt -n 200 --top-p 0.9 --seed 7\n"
      "  maestrale generate model.gguf -p \"2+2=\" -n 1 --logprobs 5 --json\n"
      "The text goes to standard output, everything else to standard error.");
  return {app, [options] { return run(*options); }};
}

}  // namespace maestrale::app
