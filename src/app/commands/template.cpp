// maestrale template: a conversation through a chat template, as the model would see it.
#include <filesystem>
#include <memory>

#include "app/commands/commands.h"
#include "app/conversation.h"
#include "app/parse.h"
#include "app/render.h"
#include "app/session.h"
#include "base/file.h"
#include "text/template/continued.h"

namespace maestrale::app {
namespace {

struct Options {
  std::string source, input;
  std::int64_t clock = 0;
  CommonOptions common;
};

constexpr std::uint64_t kMaxTemplateBytes = 1u << 24;

bool is_template_file(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".jinja" || extension == ".jinja2" || extension == ".j2" || extension == ".txt";
}

Status run(const Options& options) {
  files::Checkpoint checkpoint;
  std::string source;
  if (is_template_file(options.source)) {
    source = TRY(read_file(options.source, kMaxTemplateBytes));
  } else {
    checkpoint = TRY(files::open_checkpoint(options.source));
    source = checkpoint.chat_template;
  }
  const std::string text = TRY(read_input(options.input));
  const std::string where = options.input == "-" ? "standard input" : options.input;
  const json::value conversation = TRY(parse_json(text, where, 256));
  const json::object variables = TRY(template_variables(conversation, checkpoint.tokenizer.get(), where));
  const text::RenderClock clock{.unix_seconds = options.clock};
  if (source.empty()) {
    (void)TRY(tokenizer_of(checkpoint));
    const auto format = TRY(chat::PromptFormat::of(checkpoint, source, options.source));
    const text::Prompt prompt = TRY(format.prompt(variables, clock));
    if (!options.common.json) return write_out(prompt.text);
    return write_json(json::object{{"text", prompt.text},
                                   {"tokens", json::array(prompt.tokens.begin(), prompt.tokens.end())}});
  }
  const auto chat_template = TRY(text::ChatTemplate::parse(source, options.source));
  const std::string rendered = TRY(text::render_conversation(chat_template, variables, clock));
  if (!options.common.json) return write_out(rendered);
  return write_json(json::object{{"text", rendered}});
}

}  // namespace

Command add_template(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("template", "show a conversation as the model sees it");
  add_text(*app, "MODEL", options->source, "model, or a Jinja file (.jinja, .jinja2, .j2, .txt)")->required();
  add_text(*app, "-i,--input", options->input, "conversation as JSON; - for standard input")->required();
  add_integer(*app, "--clock", options->clock, 0, std::int64_t{1} << 40,
              "seconds since 1970 that strftime_now() reads (default: now)");
  add_common_options(*app, options->common);
  app->footer(
      "The conversation is a list of messages, or an object with messages and, where wanted, tools,\n"
      "add_generation_prompt, continue_final_message, bos_token, eos_token and extra (further\n"
      "variables).\n"
      "Example:\n"
      "  echo '[{\"role\": \"user\", \"content\": \"Hello\"}]' | maestrale template model.gguf --input -");
  return {app, [options] { return run(*options); }};
}

}  // namespace maestrale::app
