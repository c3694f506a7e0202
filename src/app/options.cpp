#include "app/options.h"

#include <fmt/core.h>

#include <limits>
#include <random>

#include "app/parse.h"
#include "base/threads.h"

namespace maestrale::app {
namespace {

constexpr std::int64_t kMany = std::numeric_limits<std::int32_t>::max();

// Turns an Error into the exception that CLI11 reports; main renders it.
template <class T>
T or_throw(Result<T> result) {
  if (!result.ok()) throw CLI::ValidationError(result.error().render(), CLI::ExitCodes::ValidationError);
  if constexpr (!std::is_void_v<T>) return std::move(result).value();
}

std::string long_name(const std::string& name) { return name.substr(name.rfind(',') + 1); }

void add_optional_integer(CLI::App& app, const std::string& name, std::optional<std::int64_t>& target,
                          std::int64_t low, const std::string& help) {
  add_parsed(
      app, name, "N",
      [&target, low, name](const std::string& text) -> Status {
        target = TRY(parse_integer(text, low, kMany, long_name(name)));
        return {};
      },
      help);
}

}  // namespace

CLI::Option* add_parsed(CLI::App& app, const std::string& name, const std::string& type,
                        std::function<Status(const std::string&)> parse, const std::string& help) {
  CLI::callback_t each = [parse = std::move(parse)](const CLI::results_t& values) {
    for (const std::string& value : values) or_throw(parse(value));
    return true;
  };
  CLI::Option* option = app.add_option(name, std::move(each), help);
  return option->type_name(type)->type_size(1)->expected(1)->allow_extra_args(false);
}

CLI::Option* add_integer(CLI::App& app, const std::string& name, std::int64_t& target, std::int64_t low,
                         std::int64_t high, const std::string& help) {
  return add_parsed(
      app, name, "N",
      [&target, low, high, name](const std::string& text) -> Status {
        target = TRY(parse_integer(text, low, high, long_name(name)));
        return {};
      },
      help);
}

CLI::Option* add_number(CLI::App& app, const std::string& name, std::optional<double>& target, double low,
                        double high, const std::string& help) {
  return add_parsed(
      app, name, "X",
      [&target, low, high, name](const std::string& text) -> Status {
        target = TRY(parse_number(text, low, high, long_name(name)));
        return {};
      },
      help);
}

CLI::Option* add_text(CLI::App& app, const std::string& name, std::string& target, const std::string& help) {
  return add_parsed(
      app, name, "TEXT",
      [&target](const std::string& text) -> Status {
        target = text;
        return {};
      },
      help);
}

void add_common_options(CLI::App& app, CommonOptions& options) {
  const std::string group = "Everywhere";
  add_integer(app, "-t,--threads", options.threads, 1, ThreadPool::kMaxThreads,
              fmt::format("worker threads (default: all cores, here {})", available_cores()))
      ->group(group);
  add_integer(app, "-c,--context", options.context, 1, kMany,
              fmt::format("positions to make room for (default: the model's own, at most {})",
                          engine::kDefaultContext))
      ->group(group);
  add_parsed(
      app, "--seed", "N",
      [&options](const std::string& text) -> Status {
        options.seed = TRY(parse_seed(text, "--seed"));
        options.seed_given = true;
        return {};
      },
      "seed of the random choices (default: a new one each time, shown with --json)")
      ->group(group);
  add_parsed(
      app, "--memory", "SIZE",
      [&options](const std::string& text) -> Status {
        options.memory = TRY(parse_size(text, "--memory"));
        return {};
      },
      "most memory to take, such as 8GB (default: what is free)")
      ->group(group);
  add_text(app, "--kv-type", options.kv_type, "storage of the attention cache: f32, f16 or q8 (default: f16)")
      ->group(group);
  add_text(app, "--isa", options.isa,
           "instruction set: ref, avx2 or avx512 (default: MAESTRALE_ISA, or the best)")
      ->group(group);
  app.add_flag("--json", options.json, "print one JSON object instead of text")->group(group);
  app.add_flag("-q,--quiet", options.quiet, "no progress, no notes; results and errors only")->group(group);
}

Result<CommonOptions::AdapterFile> parse_adapter(const std::string& text) {
  CommonOptions::AdapterFile file{.path = text};
  if (const std::size_t at = text.rfind('='); at != text.npos && at > 0) {
    constexpr double kMost = 1000;
    file.scale = static_cast<float>(TRY(parse_number(text.substr(at + 1), -kMost, kMost, "--adapter")));
    file.path = text.substr(0, at);
  }
  return file;
}

void add_adapter_option(CLI::App& app, CommonOptions& options) {
  add_parsed(
      app, "--adapter", "PATH[=SCALE]",
      [&options](const std::string& text) -> Status {
        options.adapters.push_back(TRY(parse_adapter(text)));
        return {};
      },
      "LoRA adapter beside the model: a PEFT folder or a GGUF adapter, and how strongly; may be repeated")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group("Everywhere");
}

void add_packed_option(CLI::App& app, CommonOptions& options) {
  add_text(app, "--packed", options.packed,
           "the model's weights as `maestrale repack` wrote them: no packing now")
      ->group("Everywhere");
}

void add_mtp_option(CLI::App& app, CommonOptions& options) {
  options.mtp = true;
  app.add_flag_callback(
         "--no-mtp", [&options] { options.mtp = false; },
         "leave out the model's layer that predicts further tokens (MTP), which guesses ahead where it has "
         "one")
      ->group("Everywhere");
}

void add_draft_option(CLI::App& app, CommonOptions& options) {
  add_mtp_option(app, options);
  add_text(
      app, "--draft", options.draft,
      "a smaller model of the same vocabulary, which guesses tokens ahead where that saves time; the answer "
      "is the same")
      ->group("Everywhere");
}

void add_sampling_options(CLI::App& app, SamplingOptions& options) {
  const std::string group = "Sampling";
  const auto number = [&](const char* name, std::optional<double>& target, double low, double high,
                          const char* help) { add_number(app, name, target, low, high, help)->group(group); };
  add_integer(app, "-n,--max-tokens", options.max_tokens, 0, kMany,
              "stop after this many tokens (default: at the end)")
      ->group(group);
  number("--temperature", options.temperature, 0, 100,
         "0 always takes the likeliest token (default: the model's, or 0.8)");
  add_optional_integer(app, "--top-k", options.top_k, 0, "only the N likeliest tokens; 0: all");
  number("--top-p", options.top_p, 0, 1, "only the likeliest tokens that together hold this share");
  number("--min-p", options.min_p, 0, 1, "only tokens at least this likely, relative to the likeliest");
  number("--typical-p", options.typical_p, 0, 1,
         "only the most typical tokens that together hold this share");
  number("--repetition-penalty", options.repetition_penalty, 0, 100,
         "makes tokens that occurred less likely; 1: off");
  number("--presence-penalty", options.presence_penalty, -100, 100,
         "taken off the logit of a token that occurred");
  number("--frequency-penalty", options.frequency_penalty, -100, 100, "taken off for every time it occurred");
  add_optional_integer(app, "--penalty-window", options.penalty_window, -1,
                       "how many of the last tokens the penalties see; -1: all (default: 64)");
  add_parsed(
      app, "--logit-bias", "TOKEN=BIAS",
      [&options](const std::string& text) -> Status {
        options.logit_bias.push_back(TRY(parse_bias(text, "--logit-bias")));
        return {};
      },
      "added to a token's logit, -inf forbids it; may be repeated")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
  add_parsed(
      app, "--stop", "TEXT",
      [&options](const std::string& text) -> Status {
        options.stop.push_back(text);
        return {};
      },
      "stop before this text; may be repeated")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
  add_integer(app, "--logprobs", options.logprobs, 0, engine::SamplingParams::kMaxLogprobs,
              "report log-probabilities, with N alternatives for each token")
      ->group(group);
  app.add_flag("--ignore-end", options.ignore_end, "do not stop at the model's end tokens")->group(group);
  add_integer(app, "--drafts", options.drafts, 0, 64,
              "tokens guessed ahead, from what followed before or by --draft, where it saves time; the "
              "answer is the same\n"
              "(default: at most 8; 0: none)")
      ->group(group);
}

Result<engine::SamplingParams> resolve_sampling(const SamplingOptions& said, const CommonOptions& common,
                                                const json::object& generation_config) {
  const JsonFields model(generation_config, "generation_config.json");
  engine::SamplingParams params;
  const bool greedy = model.has("do_sample") && !TRY(model.boolean_or("do_sample", true));
  const double temperature = greedy ? 0.0 : TRY(model.number_or("temperature", kDefaultTemperature));
  params.temperature = said.temperature ? *said.temperature : temperature;
  params.top_k = said.top_k ? *said.top_k : TRY(model.integer_or("top_k", params.top_k));
  params.top_p = said.top_p ? *said.top_p : TRY(model.number_or("top_p", params.top_p));
  params.min_p = said.min_p ? *said.min_p : TRY(model.number_or("min_p", params.min_p));
  params.typical_p = said.typical_p ? *said.typical_p : TRY(model.number_or("typical_p", params.typical_p));
  params.repetition_penalty = said.repetition_penalty
                                  ? *said.repetition_penalty
                                  : TRY(model.number_or("repetition_penalty", params.repetition_penalty));
  params.presence_penalty = said.presence_penalty.value_or(params.presence_penalty);
  params.frequency_penalty = said.frequency_penalty.value_or(params.frequency_penalty);
  params.penalty_window = said.penalty_window.value_or(params.penalty_window);
  params.logit_bias = said.logit_bias;
  params.logprobs = std::max<std::int64_t>(said.logprobs, 0);
  params.seed = common.seed;
  if (!common.seed_given) {
    std::random_device device;
    params.seed = device();
  }
  TRY(params.validate());
  return params;
}

Result<engine::LoadOptions> load_options(const CommonOptions& common, ops::KvType default_kv_type) {
  engine::LoadOptions options;
  options.threads = static_cast<int>(common.threads);
  options.context = common.context;
  options.memory_budget = common.memory;
  options.isa = common.isa;
  options.packed = common.packed;
  options.kv_type = default_kv_type;
  if (common.kv_type.empty()) return options;
  const auto type = ops::kv_type_from_name(common.kv_type);
  if (!type) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "unknown cache type",
                 .where = "--kv-type",
                 .expected = "f32, f16 or q8",
                 .found = "'" + common.kv_type + "'"};
  }
  options.kv_type = *type;
  return options;
}

}  // namespace maestrale::app
