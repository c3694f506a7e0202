// maestrale inspect: what a model is and what it would take, without loading it.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <memory>

#include "app/commands/commands.h"
#include "app/render.h"
#include "app/session.h"
#include "models/presets.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::app {
namespace {

struct Options {
  std::string model, preset, format = "q4_0";
  bool tensors = false, chat_template = false;
  CommonOptions common;
};

struct TypeShare {
  std::int64_t tensors = 0, elements = 0;
  std::uint64_t bytes = 0;
};

struct Report {
  models::ModelInfo info;
  std::map<std::string, TypeShare> types;
  std::vector<engine::MemoryPlan> plans;  // by context length
};

Result<Report> study(const files::Checkpoint& checkpoint, const CommonOptions& common) {
  Report report;
  engine::LoadOptions load = TRY(load_options(common, ops::KvType::kF16));
  const auto ops = TRY(ops::make_cpu_ops(load.isa, std::max(load.threads, 1)));
  report.info = TRY(models::plan_model(checkpoint, *ops)).info;
  for (const TensorView& tensor : checkpoint.tensors) {
    TypeShare& share = report.types[std::string(traits(tensor.dtype).name)];
    ++share.tensors;
    share.elements += tensor.elements();
    share.bytes += tensor.data.size();
  }
  std::vector<std::int64_t> lengths;
  const std::int64_t longest =
      report.info.max_context > 0 ? report.info.max_context : engine::kDefaultContext;
  if (common.context > 0) {
    lengths = {common.context};
  } else {
    for (std::int64_t length = 2048; length < longest; length *= 4) lengths.push_back(length);
    lengths.push_back(longest);
  }
  for (const std::int64_t length : lengths) {
    load.context = length;
    report.plans.push_back(TRY(engine::plan_memory(checkpoint, load)));
  }
  return report;
}

json::object tensor_json(const TensorView& tensor) {
  return {{"name", tensor.name},
          {"type", traits(tensor.dtype).name},
          {"shape", json::array(tensor.shape.begin(), tensor.shape.end())},
          {"bytes", tensor.data.size()}};
}

json::object report_json(const files::Checkpoint& checkpoint, const Report& report, const Options& options) {
  const models::ModelInfo& info = report.info;
  json::object types;
  for (const auto& [name, share] : report.types) {
    types[name] =
        json::object{{"tensors", share.tensors}, {"elements", share.elements}, {"bytes", share.bytes}};
  }
  json::array memory;
  for (const engine::MemoryPlan& plan : report.plans) {
    memory.push_back(json::object{{"context", plan.context},
                                  {"kv_type", plan.kv_type},
                                  {"weights", plan.weights},
                                  {"kv_cache", plan.kv_cache},
                                  {"workspace", plan.workspace},
                                  {"base", plan.base},
                                  {"total", plan.total()}});
  }
  json::object out{{"model", checkpoint.path.string()},
                   {"files", files::dialect_name(checkpoint.dialect)},
                   {"file_bytes", checkpoint.file_bytes()},
                   {"architecture", info.architecture},
                   {"parameters_total", info.parameters_total},
                   {"parameters_active", info.parameters_active},
                   {"parameters_embedding", info.parameters_embedding},
                   {"layers", info.layers},
                   {"hidden_size", info.hidden_size},
                   {"heads", info.heads},
                   {"kv_heads", info.kv_heads},
                   {"head_size", info.head_size},
                   {"ffn_size", info.ffn_size},
                   {"vocabulary", info.vocabulary},
                   {"max_context", info.max_context},
                   {"notes", info.notes},
                   {"tensor_count", checkpoint.tensors.size()},
                   {"types", std::move(types)},
                   {"memory", std::move(memory)}};
  const text::Tokenizer* tokenizer = checkpoint.tokenizer.get();
  out["tokenizer"] = tokenizer == nullptr ? json::value(nullptr) : json::value(tokenizer->family());
  if (tokenizer == nullptr) out["tokenizer_problem"] = checkpoint.tokenizer_problem;
  out["chat_template"] =
      checkpoint.chat_template.empty() ? json::value(nullptr) : json::value(checkpoint.chat_template);
  if (options.tensors) {
    json::array tensors;
    for (const TensorView& tensor : checkpoint.tensors) tensors.push_back(tensor_json(tensor));
    out["tensors"] = std::move(tensors);
  }
  return out;
}

std::string row(std::string_view name, const std::string& value) { return pad(name, 16) + value + "\n"; }

// Publishers disagree on whether the embedding table counts as active: a token reads one row of it.
std::string parameters_text(const models::ModelInfo& info) {
  std::string text = fmt::format("{} total, {} active for a token", human_count(info.parameters_total),
                                 human_count(info.parameters_active));
  if (info.parameters_active == info.parameters_total || info.parameters_embedding == 0) return text;
  return text + fmt::format(" ({} without the embedding table)",
                            human_count(info.parameters_active - info.parameters_embedding));
}

std::string report_text(const files::Checkpoint& checkpoint, const Report& report, const Options& options) {
  const models::ModelInfo& info = report.info;
  std::string out;
  out += row("model", checkpoint.path.string());
  out += row("files", fmt::format("{}, {}", files::dialect_name(checkpoint.dialect),
                                  engine::human_bytes(checkpoint.file_bytes())));
  out += row("architecture", info.architecture + (info.notes.empty() ? "" : " (" + info.notes + ")"));
  out += row("parameters", parameters_text(info));
  out +=
      row("shape", fmt::format("{} layers of {}, {} heads of {} with {} for keys and values, feed-forward {}",
                               info.layers, info.hidden_size, info.heads, info.head_size, info.kv_heads,
                               info.ffn_size));
  out += row("context", info.max_context > 0 ? fmt::format("{} positions", info.max_context) : "not said");
  const text::Tokenizer* tokenizer = checkpoint.tokenizer.get();
  out += row("vocabulary", fmt::format("{}, tokenizer {}", info.vocabulary,
                                       tokenizer != nullptr ? std::string(tokenizer->family())
                                                            : "none: " + checkpoint.tokenizer_problem));
  out += row("chat template",
             checkpoint.chat_template.empty()
                 ? "none"
                 : fmt::format("{} characters (--template shows it)", checkpoint.chat_template.size()));
  for (const auto& [name, share] : report.types) {
    out += row("type " + name, fmt::format("{} tensors, {} values, {}", share.tensors,
                                           human_count(share.elements), engine::human_bytes(share.bytes)));
  }
  for (const engine::MemoryPlan& plan : report.plans) {
    out += row(fmt::format("memory {}", plan.context), plan.render());
  }
  if (options.tensors) {
    for (const TensorView& tensor : checkpoint.tensors) {
      out += fmt::format("{} {} {}\n", pad(tensor.name, 48), pad(traits(tensor.dtype).name, 8),
                         shape_text(tensor.shape));
    }
  }
  return out;
}

Status run(const Options& options) {
  if (options.model.empty() == options.preset.empty()) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "nothing to inspect, or two things",
                 .where = "inspect",
                 .expected = "either a MODEL or --preset NAME"};
  }
  files::Checkpoint checkpoint = options.preset.empty()
                                     ? TRY(files::open_checkpoint(options.model))
                                     : TRY(models::preset_checkpoint(options.preset, options.format, false));
  checkpoint.mtp = options.common.mtp;
  if (options.chat_template && !options.common.json) return write_out(checkpoint.chat_template);
  const Report report = TRY(study(checkpoint, options.common));
  if (options.common.json) return write_json(report_json(checkpoint, report, options));
  return write_out(report_text(checkpoint, report, options));
}

}  // namespace

Command add_inspect(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("inspect", "what a model is and what it takes");
  add_text(*app, "MODEL", options->model, "model file or folder");
  add_text(*app, "--preset", options->preset, "a known shape instead of a file, such as mistral-7b");
  add_text(*app, "--format", options->format, "number format of the preset's weights (default: q4_0)");
  app->add_flag("--tensors", options->tensors, "list every tensor");
  app->add_flag("--template", options->chat_template, "print the chat template and nothing else");
  add_common_options(*app, options->common);
  add_mtp_option(*app, options->common);
  app->footer(
      "Examples:\n"
      "  maestrale inspect model.gguf\n"
      "  maestrale inspect ./Mistral-7B-v0.3 --context 32768 --kv-type q8\n"
      "  maestrale inspect --preset mistral-large-2 --format q4_k_m --json");
  return {app, [options] { return run(*options); }};
}

}  // namespace maestrale::app
