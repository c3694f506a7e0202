// maestrale rerank: how well every line of the input answers a query.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "app/commands/commands.h"
#include "app/lines.h"
#include "app/render.h"
#include "app/session.h"
#include "engine/rerank.h"

namespace maestrale::app {
namespace {

struct Options {
  std::string model, query, instruction{engine::kRerankInstruction};
  CommonOptions common;
};

constexpr std::int64_t kRows = 512;  // of a batch at least
constexpr std::int64_t kMaxRows = 4096;

// Tokens of the longest pair, in either form: what the form turns out to be is known when the model is
// loaded.
std::int64_t longest_pair(const text::Tokenizer& tokenizer, const Options& options,
                          const std::vector<std::string>& documents) {
  std::size_t longest = 1;
  for (const std::string& document : documents) {
    for (const bool scorer : {false, true}) {
      const auto pair =
          engine::Reranker::pair(tokenizer, scorer, false, options.instruction, options.query, document);
      longest = std::max(longest, pair.tokens.size());
    }
  }
  return static_cast<std::int64_t>(longest);
}

Status run(const Options& options) {
  files::Checkpoint checkpoint = TRY(files::open_checkpoint(options.model));
  const text::Tokenizer* tokenizer = TRY(tokenizer_of(checkpoint));
  const std::vector<std::string> documents = TRY(read_lines());
  engine::LoadOptions load = TRY(load_options(options.common, ops::KvType::kF32));
  const std::int64_t longest = longest_pair(*tokenizer, options, documents);
  if (load.context == 0) load.context = longest;
  load.batch_rows = std::clamp(longest, kRows, kMaxRows);
  const auto engine = TRY(load_engine(std::move(checkpoint), options.common, std::move(load)));
  engine::Reranker reranker = TRY(engine::Reranker::create(*engine, options.instruction));
  const std::vector<double> scores = TRY(reranker.score(options.query, documents));
  std::vector<std::size_t> order(documents.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  json::array results;
  for (const std::size_t index : order) {
    if (options.common.json) {
      results.push_back(json::object{{"index", index}, {"score", scores[index]}, {"text", documents[index]}});
    } else {
      TRY(write_out(fmt::format("{:.6f} {}\n", scores[index], documents[index])));
    }
  }
  if (!options.common.json) return {};
  return write_json(
      json::object{{"model", options.model}, {"query", options.query}, {"results", std::move(results)}});
}

}  // namespace

Command add_rerank(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("rerank", "how well every line of the input answers a query");
  add_text(*app, "MODEL", options->model, "model file or folder: a cross-encoder or Qwen3-Reranker")
      ->required();
  add_text(*app, "--query", options->query, "what the lines may answer")->required();
  add_text(*app, "--instruction", options->instruction, "the task, for decoders that are told one");
  add_common_options(*app, options->common);
  add_packed_option(*app, options->common);
  add_adapter_option(*app, options->common);
  app->footer(
      "Prints scores from 0 to 1 with their lines, the best first.\n"
      "Example:\n"
      "  maestrale rerank ./Qwen3-Reranker-0.6B --query \"capital of Italy\" < lines.txt");
  return {app, [options] { return run(*options); }};
}

}  // namespace maestrale::app
