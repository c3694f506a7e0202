// maestrale run: one question through the model's chat template, one answer.
#include <memory>

#include "app/commands/commands.h"
#include "app/conversation.h"
#include "app/generation.h"
#include "app/session.h"

namespace maestrale::app {
namespace {

struct Options {
  std::string model, text, system, template_file;
  SamplingOptions sampling;
  CommonOptions common;
};

Status run(const Options& options) {
  (void)TRY(resolve_sampling(options.sampling, options.common, {}));  // refuse what is wrong before loading
  const std::string text = options.text == "-" ? TRY(read_stdin(kMaxInputBytes)) : options.text;
  const auto engine = TRY(load_engine(options.model, options.common));
  Conversation conversation = TRY(Conversation::create(engine->checkpoint(), options.template_file));
  conversation.set_system(options.system);
  conversation.add("user", text);
  const text::Prompt prompt = TRY(conversation.prompt());
  const auto request = TRY(make_request(prompt.tokens, options.sampling, options.common, *engine));
  chat::TurnReader turn(conversation.dialect(), *engine->tokenizer(),
                        chat::start_of_prompt(conversation.dialect(), prompt.text));
  const StreamOptions streaming{.keep_events = options.sampling.logprobs >= 0, .turn = &turn};
  const auto shown = TRY(stream_generation(*engine, request, options.common, streaming));
  return finish_generation(*engine, request, shown, options.common);
}

}  // namespace

Command add_run(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("run", "ask one question and print the answer");
  add_text(*app, "MODEL", options->model, "model file or folder")->required();
  add_text(*app, "TEXT", options->text, "the question; - reads it from standard input")->required();
  add_text(*app, "--system", options->system, "system message");
  add_text(*app, "--template", options->template_file,
           "Jinja chat template to use instead of the model's own");
  add_sampling_options(*app, options->sampling);
  add_common_options(*app, options->common);
  add_packed_option(*app, options->common);
  add_draft_option(*app, options->common);
  add_adapter_option(*app, options->common);
  app->footer(
      "Examples:\n"
      "  maestrale run model.gguf \"Why is the sky blue?\"\n"
      "  maestrale run ./Qwen3-0.6B - --system \"Answer in French.\" < question.txt\n"
      "  maestrale run model.gguf \"List three rivers\" --json --seed 1");
  return {app, [options] { return run(*options); }};
}

}  // namespace maestrale::app
