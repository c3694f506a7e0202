// maestrale bench: how fast a model runs here, measured.
#include <algorithm>
#include <memory>

#include "app/bench_runs.h"
#include "app/commands/commands.h"
#include "app/parse.h"
#include "app/render.h"
#include "app/server_load.h"
#include "app/session.h"
#include "base/threads.h"
#include "models/presets.h"

namespace maestrale::app {
namespace {

struct Options {
  std::string model, preset, format = "q4_0";
  BenchPlan plan{.prefill_tokens = {128},
                 .depths = {0, 256},
                 .sequences = {1, 4},
                 .decode_tokens = 16,
                 .repetitions = 2};
  LoadPlan load;
  CommonOptions common;
};

constexpr std::int64_t kMostPositions = 1 << 22;
constexpr std::int64_t kMostSequences = 512;

Result<files::Checkpoint> open(const Options& options) {
  if (options.model.empty() == options.preset.empty()) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "nothing to measure, or two things",
                 .where = "bench",
                 .expected = "either a MODEL or --preset NAME"};
  }
  if (options.preset.empty()) return files::open_checkpoint(options.model, {.load_tokenizer = false});
  return models::preset_checkpoint(options.preset, options.format);
}

Status run_server(const Options& options) {
  if (!options.model.empty() || !options.preset.empty()) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "a server has its own models",
                 .where = "--server",
                 .expected = "no MODEL and no --preset"};
  }
  const LoadReport report = TRY(run_load_test(options.load));
  return options.common.json ? write_json(report.to_json()) : write_out(report.to_text());
}

Status run(Options& options) {
  if (!options.load.server.empty()) return run_server(options);
  BenchPlan& plan = options.plan;
  std::sort(plan.depths.begin(), plan.depths.end());
  engine::LoadOptions load = TRY(load_options(options.common, ops::KvType::kF16));
  if (load.context == 0) load.context = plan.longest();
  if (plan.longest() > load.context) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "the measurements do not fit the context",
                 .where = "--context",
                 .expected = "at least " + std::to_string(plan.longest()),
                 .found = std::to_string(load.context)};
  }
  load.sequences = static_cast<int>(plan.most_sequences());
  load.pack_experts = true;
  files::Checkpoint checkpoint = TRY(open(options));
  // Before the model is loaded: its memory is then free again.
  const MachineLimits limits = TRY(measure_machine(load.threads == 0 ? available_cores() : load.threads));
  const auto engine = TRY(load_engine(std::move(checkpoint), options.common, std::move(load)));
  ProgressBar bar("measuring", options.common.quiet);
  catch_interrupts();
  BenchReport report =
      TRY(run_bench(*engine, plan, limits, [&bar](double fraction) { bar.update(fraction); }));
  restore_interrupts();
  bar.finish();
  if (!options.preset.empty()) report.model = options.preset + " " + options.format;
  return options.common.json ? write_json(report.to_json()) : write_out(report.to_text());
}

void add_list(CLI::App& app, const std::string& name, std::vector<std::int64_t>& target, std::int64_t low,
              std::int64_t high, const std::string& help) {
  add_parsed(
      app, name, "N,N",
      [&target, low, high, name](const std::string& text) -> Status {
        target = TRY(parse_integers(text, low, high, name));
        return {};
      },
      help);
}

void add_server_options(CLI::App& app, LoadPlan& load) {
  const std::string group = "A server instead of a model";
  add_text(app, "--server", load.server, "http://HOST:PORT of a running server: what its clients see")
      ->group(group);
  add_text(app, "--server-model", load.model, "the model to ask (default: the first)")->group(group);
  add_text(app, "--api-key", load.api_key, "the key to send")->group(group);
  add_integer(app, "--clients", load.clients, 1, 4096, "clients at the same time (default: 1)")->group(group);
  add_integer(app, "--requests", load.requests, 1, 1 << 30, "requests in all (default: two for each client)")
      ->group(group);
  add_integer(app, "--prompt-tokens", load.prompt_tokens, 1, kMostPositions,
              "tokens of each prompt (default: 128)")
      ->group(group);
  add_integer(app, "--max-tokens", load.max_tokens, 1, kMostPositions, "tokens of each answer (default: 128)")
      ->group(group);
}

std::string preset_list() {
  std::string list;
  for (const std::string& name : models::preset_names()) list += (list.empty() ? "" : ", ") + name;
  return list;
}

}  // namespace

Command add_bench(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("bench", "measure how fast a model runs here");
  BenchPlan& plan = options->plan;
  add_text(*app, "MODEL", options->model, "model file or folder");
  add_text(*app, "--preset", options->preset, "a known shape with random weights instead of a file");
  add_text(*app, "--format", options->format, "number format of the preset's weights (default: q4_0)");
  add_list(*app, "--prefill-tokens", plan.prefill_tokens, 1, kMostPositions, "prompt lengths (default: 128)");
  add_integer(*app, "--decode-tokens", plan.decode_tokens, 1, kMostPositions,
              "steps of one measurement (default: 16)");
  add_list(*app, "--depth", plan.depths, 0, kMostPositions, "tokens already in the context (default: 0,256)");
  add_list(*app, "--sequences", plan.sequences, 1, kMostSequences,
           "sequences decoded at once (default: 1,4)");
  add_integer(*app, "--repetitions", plan.repetitions, 1, 1000, "of which the fastest counts (default: 2)");
  add_server_options(*app, options->load);
  add_common_options(*app, options->common);
  add_packed_option(*app, options->common);
  app->footer(
      "Speeds stand beside what this machine reaches in the same run: int8 operations per second, and bytes "
      "read\n"
      "from memory per second. With a preset you learn how fast a model would run before downloading it.\n"
      "Presets: " +
      preset_list() +
      "\n"
      "Examples:\n"
      "  maestrale bench --preset mistral-7b --format q4_0\n"
      "  maestrale bench model.gguf --depth 0,4096 --sequences 1,8 --json");
  return {app, [options] { return run(*options); }};
}

}  // namespace maestrale::app
