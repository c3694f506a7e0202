// arch/: tiny models of every architecture with the logits of their authors' code. Every file of a case is
// loaded, on every instruction set of this machine, in float32 with a float32 KV cache.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "files/checkpoint.h"
#include "kernels/dispatch.h"
#include "read.h"
#include "sections.h"

namespace maestrale::golden {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<text::TokenId>;
using Logits = std::vector<std::vector<float>>;  // prompt by prompt, [positions × vocabulary]

struct Prompt {
  Ids tokens, greedy;
  std::vector<double> gaps;  // of the best logit over the second, at each greedy step
  std::size_t offset = 0;    // of its first logit in the expected file
};

struct Case {
  std::string name;
  fs::path folder;
  std::size_t vocabulary = 0;
  double tolerance = 0;
  std::vector<Prompt> prompts;
};

// The logits one file of a case must give. Several may be right where the authors' intent is unsettled.
struct Expected {
  std::string file;
  std::vector<float> logits;
  bool greedy = true;  // the greedy tokens of expected.json belong to these logits
};

Result<Prompt> parse_prompt(const json::value& item, const std::string& where) {
  const JsonFields fields(*TRY(object_of(item, where)), where);
  Prompt prompt;
  prompt.tokens = TRY(token_ids(*TRY(fields.array("tokens")), where));
  prompt.greedy = TRY(token_ids(*TRY(fields.array("greedy")), where));
  for (const json::value& gap : *TRY(fields.array("greedy_top1_gap")))
    prompt.gaps.push_back(gap.to_number<double>());
  prompt.offset = static_cast<std::size_t>(TRY(fields.integer("offset_floats")));
  if (prompt.tokens.empty() || prompt.gaps.size() != prompt.greedy.size()) {
    return Error{.what = "a prompt without tokens, or without a gap for each greedy token", .where = where};
  }
  return prompt;
}

Result<Case> read_case(const fs::path& folder) {
  const std::string where = folder / "expected.json";
  const json::value document = TRY(read_json(where));
  const JsonFields fields(*TRY(object_of(document, where)), where);
  Case result;
  result.name = "arch/" + folder.filename().string();
  result.folder = folder;
  result.vocabulary = static_cast<std::size_t>(TRY(fields.integer("n_vocab")));
  result.tolerance = TRY(JsonFields(*TRY(fields.object("tolerance")), where).number("f32_max_abs"));
  for (const json::value& item : *TRY(fields.array("prompts")))
    result.prompts.push_back(TRY(parse_prompt(item, where)));
  return result;
}

// Where the files of a case mean different things, the README of the golden folder says which file holds
// what.
Result<std::vector<Expected>> expectations(const Case& c, bool gguf) {
  const bool only_llamacpp =
      gguf && (c.name.find("/mistral7b-") != c.name.npos || c.name.find("/llama4-C") != c.name.npos);
  std::vector<std::string> files;
  if (only_llamacpp && fs::exists(c.folder / "expected_llamacpp.f32")) {
    files = {"expected_llamacpp.f32"};
  } else {
    files = {"expected.f32"};
    if (fs::exists(c.folder / "expected_sglang.f32")) files.emplace_back("expected_sglang.f32");
  }
  std::vector<Expected> all;
  for (const std::string& file : files) {
    all.push_back({file, TRY(read_floats(c.folder / file)), file == "expected.f32"});
    for (const Prompt& prompt : c.prompts) {
      if (prompt.offset + prompt.tokens.size() * c.vocabulary > all.back().logits.size()) {
        return Error{.what = "fewer logits than the prompts have", .where = c.folder / file};
      }
    }
  }
  return all;
}

struct Difference {
  double largest = 0;
  std::size_t prompt = 0, position = 0;
};

Difference compare(const Case& c, const Expected& expected, const Logits& logits) {
  Difference worst;
  for (std::size_t p = 0; p < c.prompts.size(); ++p) {
    for (std::size_t i = 0; i < logits[p].size(); ++i) {
      const double by = std::abs(double{logits[p][i]} - double{expected.logits[c.prompts[p].offset + i]});
      if (by <= worst.largest) continue;  // a NaN is never less
      worst = {std::isnan(by) ? INFINITY : by, p, i / c.vocabulary};
    }
  }
  return worst;
}

Status prompt_logits(engine::Engine& engine, const Case& c, Logits& logits) {
  for (const Prompt& prompt : c.prompts) {
    std::vector<float> rows(prompt.tokens.size() * c.vocabulary);
    const int sequence = engine.open_sequence();
    const Status status = engine.append(sequence, prompt.tokens, 0, nullptr, rows.data());
    engine.close_sequence(sequence);
    TRY(status);
    logits.push_back(std::move(rows));
  }
  return {};
}

// "" where every greedy token agrees whose lead is larger than twice the difference. Each step continues with
// the expected token, so that one narrow choice does not hide the rest.
Result<std::string> greedy_problem(engine::Engine& engine, const Case& c, double difference) {
  std::vector<float> logits(c.vocabulary);
  for (std::size_t p = 0; p < c.prompts.size(); ++p) {
    const Prompt& prompt = c.prompts[p];
    const int sequence = engine.open_sequence();
    Ids next = prompt.tokens;
    std::int64_t position = 0;
    std::string problem;
    for (std::size_t step = 0; step < prompt.greedy.size() && problem.empty(); ++step) {
      const Status status = engine.append(sequence, next, position, logits.data());
      if (!status.ok()) {
        engine.close_sequence(sequence);
        return status.error();
      }
      position += static_cast<std::int64_t>(next.size());
      const auto best =
          static_cast<text::TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      if (best != prompt.greedy[step] && prompt.gaps[step] > 2 * difference) {
        problem = fmt::format("greedy token {} of prompt {} is {}, expected {} (its lead is {:.3g})", step, p,
                              best, prompt.greedy[step], prompt.gaps[step]);
      }
      next = {prompt.greedy[step]};
    }
    engine.close_sequence(sequence);
    if (!problem.empty()) return problem;
  }
  return std::string();
}

// "" where this loaded file gives one of the accepted results. Its logits are left in `logits`.
Result<std::string> model_problem(engine::Engine& engine, const Case& c,
                                  const std::vector<Expected>& accepted, Logits& logits) {
  const auto vocabulary = static_cast<std::size_t>(engine.info().vocabulary);
  if (vocabulary != c.vocabulary)
    return fmt::format("vocabulary of {}, expected {}", vocabulary, c.vocabulary);
  TRY(prompt_logits(engine, c, logits));
  std::string problem;
  for (const Expected& expected : accepted) {
    const Difference worst = compare(c, expected, logits);
    if (worst.largest <= c.tolerance) {
      if (!expected.greedy) return std::string();
      return greedy_problem(engine, c, worst.largest);
    }
    problem += fmt::format(
        "{}logits differ from {} by {:.3g} at most (prompt {}, position {}; tolerance {:.3g})",
        problem.empty() ? "" : "; ", expected.file, worst.largest, worst.prompt, worst.position, c.tolerance);
  }
  return problem;
}

// Judges one file on one instruction set; its logits, or none where it could not run.
Logits run_file(const Case& c, const fs::path& path, const std::string& isa, Report& report) {
  const std::string case_name = fmt::format("{}/{} [{}]", c.name, path.filename().string(), isa);
  if (!report.wants(case_name)) return {};
  Logits logits;
  const auto problem = [&]() -> Result<std::string> {
    const auto accepted = TRY(expectations(c, path.extension() == ".gguf"));
    files::Checkpoint checkpoint = TRY(files::open_checkpoint(path, {.load_tokenizer = false}));
    const auto engine = TRY(engine::Engine::load(std::move(checkpoint), {.threads = 2,
                                                                         .context = 128,
                                                                         .kv_type = ops::KvType::kF32,
                                                                         .batch_rows = 64,
                                                                         .isa = isa,
                                                                         .float_arithmetic = true,
                                                                         .progress = {}}));
    return model_problem(*engine, c, accepted, logits);
  }();
  if (problem.ok()) {
    report.judge(case_name, *problem);
    return logits;
  }
  const Error& error = problem.error();
  error.kind == ErrorKind::kUnsupported ? report.skip(case_name, error.what)
                                        : report.fail(case_name, error.render());
  return {};
}

bool same_bits(const Logits& a, const Logits& b) {
  const auto same_prompt = [](const std::vector<float>& x, const std::vector<float>& y) {
    return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_prompt);
}

Status run_case_folder(const fs::path& folder, const std::vector<std::string>& isas, Report& report) {
  const Case c = TRY(read_case(folder));
  for (const char* file : {"hf", "native", "model.gguf"}) {
    if (!fs::exists(folder / file)) continue;
    Logits first;
    for (const std::string& isa : isas) {
      const Logits logits = run_file(c, folder / file, isa, report);
      if (!first.empty() && !logits.empty()) {
        report.judge(fmt::format("{}/{} [{} gives the bits of {}]", c.name, file, isa, isas.front()),
                     same_bits(first, logits) ? "" : "some logits differ in some bit");
      }
      if (first.empty()) first = logits;
    }
  }
  return {};
}

}  // namespace

Status run_arch(const fs::path& folder, const Places& places, Report& report) {
  std::vector<std::string> isas = places.isas;
  if (isas.empty()) {
    for (const auto& table : kernels::usable_tables()) isas.emplace_back(table->name);
  }
  if (fs::exists(folder / "expected.json")) return run_case_folder(folder, isas, report);
  for (const fs::path& entry : sorted_entries(folder)) {
    if (fs::exists(entry / "expected.json")) TRY(run_case_folder(entry, isas, report));
  }
  return {};
}

}  // namespace maestrale::golden
