#include "app/program.h"

#include <unistd.h>

#include <csignal>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "app/commands/commands.h"
#include "app/render.h"

namespace maestrale::app {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr const char* kVersion = "maestrale 0.1.0";

std::vector<Command> add_commands(CLI::App& root) {
  return {add_generate(root), add_run(root),      add_chat(root),       add_bench(root),
          add_inspect(root),  add_tokenize(root), add_detokenize(root), add_template(root),
          add_embed(root),    add_rerank(root),   add_perplexity(root), add_logits(root),
          add_quantize(root), add_convert(root),  add_repack(root),     add_serve(root),
          add_keys(root),     add_config(root)};
}

int report(const Status& status) {
  if (status.ok()) return 0;
  const Error& error = status.error();
  if (error.kind != ErrorKind::kCancelled) write_note("maestrale: " + error.render());
  return error.kind == ErrorKind::kUsage ? kUsage : kFailed;
}

// What CLI11 throws: a request for help, or a mistake in the arguments.
int report(CLI::App& root, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) {
    const bool version = error.get_name() == "CallForVersion";
    return report(write_out(version ? std::string(error.what()) + "\n" : root.help()));
  }
  std::string hint = "maestrale";
  for (const CLI::App* sub : root.get_subcommands()) hint += " " + sub->get_name();
  write_note("maestrale: " + std::string(error.what()) + "; see `" + hint + " --help`");
  return kUsage;
}

int run_command(CLI::App& root, int argc, char** argv) {
  const std::vector<Command> commands = add_commands(root);
  try {
    root.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report(root, error);
  }
  for (const Command& command : commands) {
    if (command.parser->parsed()) return report(command.run());
  }
  return kUsage;
}

// Weights are read from mapped files: one that was cut short under our hands is noticed by this signal alone.
extern "C" void on_bus_error(int) {
  constexpr std::string_view kMessage =
      "maestrale: a model file changed or could not be read while it was in use\n";
  const ssize_t ignored = ::write(STDERR_FILENO, kMessage.data(), kMessage.size());
  (void)ignored;
  ::_exit(kFailed);
}

}  // namespace

int run_program(int argc, char** argv) {
  std::signal(SIGBUS, on_bus_error);
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error of the write
  CLI::App root("Maestrale runs open language models on your own machine.", "maestrale");
  root.set_version_flag("--version", kVersion);
  root.require_subcommand(1);
  root.get_formatter()->column_width(34);
  root.footer(
      "Start with:\n"
      "  maestrale chat model.gguf\n"
      "  maestrale bench --preset mistral-7b     how fast would it run here?\n"
      "A MODEL is a GGUF file, a folder as Hugging Face or Mistral publish it, or a llama2.c file.\n"
      "`maestrale COMMAND --help` explains a command. Exit codes: 0 done, 1 failed, 2 wrong usage.");
  try {
    return run_command(root, argc, argv);
  } catch (const std::bad_alloc&) {
    write_note("maestrale: out of memory; use a smaller --context, another --kv-type or a smaller format");
  } catch (const std::exception& error) {
    write_note("maestrale: internal error: " + std::string(error.what()));
  }
  return kFailed;
}

}  // namespace maestrale::app
