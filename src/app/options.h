// The options that every command shares, and how options are declared: values are read by app/parse.h, so
// that "nan", "0x10" or "-1" are refused with the option's name and its range.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/sampler/sampler.h"

namespace maestrale::app {

// One subcommand: its parser and what it does once the command line is read.
struct Command {
  CLI::App* parser = nullptr;
  std::function<Status()> run;
};

struct CommonOptions {
  std::int64_t threads = 0;  // 0: all cores
  std::int64_t context = 0;  // 0: the model's own
  std::uint64_t seed = 0;
  bool seed_given = false;
  bool json = false;
  bool quiet = false;
  std::uint64_t memory = 0;  // bytes; 0: what is free
  std::string kv_type;       // empty: the command's default
  std::string isa;
  std::string packed;  // file of packed weights; empty: none
  std::string draft;   // a smaller model that guesses ahead; empty: none
  bool mtp = false;    // the model's own layer that predicts further tokens is loaded, where it has one
  struct AdapterFile {
    std::string path;
    float scale = 1;
  };
  std::vector<AdapterFile> adapters;
};

// Declares --threads --context --seed --json --quiet --memory --kv-type --isa.
void add_common_options(CLI::App& app, CommonOptions& options);

// Declares --packed, for commands that run a model.
void add_packed_option(CLI::App& app, CommonOptions& options);

// Declares --no-mtp and turns it on where it is not given, for commands that run a model to answer.
void add_mtp_option(CLI::App& app, CommonOptions& options);

// Declares --draft and --no-mtp, for commands in which a model answers.
void add_draft_option(CLI::App& app, CommonOptions& options);

// "PATH" or "PATH=SCALE".
Result<CommonOptions::AdapterFile> parse_adapter(const std::string& text);
// Declares --adapter, for commands that run a model.
void add_adapter_option(CLI::App& app, CommonOptions& options);

// Integers in [low, high] and finite numbers in [low, high].
CLI::Option* add_integer(CLI::App& app, const std::string& name, std::int64_t& target, std::int64_t low,
                         std::int64_t high, const std::string& help);
CLI::Option* add_number(CLI::App& app, const std::string& name, std::optional<double>& target, double low,
                        double high, const std::string& help);
// A text taken as it is, may be given once.
CLI::Option* add_text(CLI::App& app, const std::string& name, std::string& target, const std::string& help);
// Takes one value each time it is given; `parse` is called for each.
CLI::Option* add_parsed(CLI::App& app, const std::string& name, const std::string& type,
                        std::function<Status(const std::string&)> parse, const std::string& help);

// What was said about sampling; what was not said comes from the model's generation_config, else the default.
struct SamplingOptions {
  std::optional<double> temperature, top_p, min_p, typical_p, repetition_penalty, presence_penalty,
      frequency_penalty;
  std::optional<std::int64_t> top_k, penalty_window;
  std::vector<std::pair<text::TokenId, double>> logit_bias;
  std::int64_t logprobs = -1;  // -1: not asked for
  std::int64_t max_tokens = -1;
  std::vector<std::string> stop;
  bool ignore_end = false;
  std::int64_t drafts = engine::kDefaultDrafts;
};
constexpr double kDefaultTemperature = 0.8;

void add_sampling_options(CLI::App& app, SamplingOptions& options);
// Validated. Values of generation_config that are out of range are an error that names the key.
Result<engine::SamplingParams> resolve_sampling(const SamplingOptions& said, const CommonOptions& common,
                                                const json::object& generation_config);

Result<engine::LoadOptions> load_options(const CommonOptions& common, ops::KvType default_kv_type);

}  // namespace maestrale::app
