// maestrale chat: a conversation in the terminal.
#include <memory>

#include "app/chat_session.h"
#include "app/commands/commands.h"
#include "app/line_editor.h"
#include "app/render.h"
#include "app/session.h"
#include "base/utf8.h"

namespace maestrale::app {
namespace {

struct Options {
  std::string model, system, template_file, load;
  SamplingOptions sampling;
  CommonOptions common;
};

// A message: one line, or several where lines end with a backslash.
std::optional<std::string> read_message(LineEditor& editor) {
  std::optional<std::string> line = editor.read("> ");
  while (line && !line->empty() && line->back() == '\\') {
    line->back() = '\n';
    const std::optional<std::string> more = editor.read(". ");
    if (!more) break;
    *line += *more;
  }
  return line;
}

// False: the person wants to leave.
Result<bool> handle(ChatSession& session, const std::string& line) {
  if (line.find_first_not_of(" \t") == std::string::npos) return true;
  if (find_invalid_utf8(line) != std::string_view::npos)
    return Error{.what = "the message is not valid UTF-8"};
  if (line.front() == '/') return session.command(line);
  TRY(session.say(line));
  return true;
}

Status converse(ChatSession& session) {
  const std::unique_ptr<LineEditor> editor = LineEditor::open();
  while (const auto line = read_message(*editor)) {
    const Result<bool> stay = handle(session, *line);
    if (stay.ok()) {
      if (!*stay) return {};
    } else if (!editor->interactive() || stay.error().kind == ErrorKind::kIo) {
      return stay.error();
    } else {
      write_note("maestrale: " + stay.error().render());
    }
  }
  if (editor->interactive()) write_note("");
  return {};
}

Status run(const Options& options) {
  (void)TRY(resolve_sampling(options.sampling, options.common, {}));  // refuse what is wrong before loading
  const auto engine = TRY(load_engine(options.model, options.common));
  ChatSession session =
      TRY(ChatSession::create(*engine, options.sampling, options.common, options.template_file));
  if (!options.load.empty()) (void)TRY(session.command("/load " + options.load));
  if (!options.system.empty()) session.conversation().set_system(options.system);
  if (!options.common.quiet && stdin_is_terminal()) write_note("/help shows what you can do, Ctrl-D leaves");
  return converse(session);
}

}  // namespace

Command add_chat(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("chat", "talk with a model");
  add_text(*app, "MODEL", options->model, "model file or folder")->required();
  add_text(*app, "--system", options->system, "system message");
  add_text(*app, "--template", options->template_file,
           "Jinja chat template to use instead of the model's own");
  add_text(*app, "--load", options->load, "go on with a conversation that /save wrote");
  add_sampling_options(*app, options->sampling);
  add_common_options(*app, options->common);
  add_packed_option(*app, options->common);
  add_draft_option(*app, options->common);
  add_adapter_option(*app, options->common);
  app->footer(
      "Without a terminal every line of standard input is one message.\n"
      "Examples:\n"
      "  maestrale chat model.gguf --system \"You are a patient teacher.\"\n"
      "  printf 'Hello\\nAnd in Italian?\\n' | maestrale chat model.gguf --temperature 0");
  return {app, [options] { return run(*options); }};
}

}  // namespace maestrale::app
