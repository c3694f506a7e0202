// maestrale perplexity: how well the model predicts a text, in windows of the context.
#include <fmt/core.h>

#include <cmath>
#include <memory>

#include "app/commands/commands.h"
#include "app/render.h"
#include "app/session.h"
#include "engine/sampler/fixed_math.h"

namespace maestrale::app {
namespace {

struct Options {
  std::string model, file;
  bool second_half = false;
  CommonOptions common;
};

constexpr std::int64_t kDefaultWindow = 512;
constexpr std::int64_t kChunk = 64;  // positions whose logits are held at once

// Sum, sum of squares and count of the negative log-likelihoods, in nats.
struct Score {
  double sum = 0, squares = 0;
  std::int64_t count = 0;

  void add(double nats) {
    sum += nats;
    squares += nats * nats;
    ++count;
  }
  double mean() const { return sum / static_cast<double>(count); }
  double perplexity() const { return std::exp(mean()); }
  double standard_error() const {  // of the perplexity, to first order
    if (count < 2) return 0.0;
    const double variance = squares / static_cast<double>(count) - mean() * mean();
    return perplexity() * std::sqrt(std::max(variance, 0.0) / static_cast<double>(count - 1));
  }
};

double negative_log_likelihood(std::span<const float> logits, text::TokenId token,
                               std::vector<float>& scratch) {
  float best = logits.front();
  for (const float logit : logits) best = std::max(best, logit);
  engine::exponentials(logits, best, 1.0f, scratch);
  const double log_total = engine::log_of_positive(engine::sum_of(scratch));
  return static_cast<double>(best) + log_total - static_cast<double>(logits[static_cast<std::size_t>(token)]);
}

// Scores the predictions of window[first …] from everything before them in the window.
Status score_window(engine::Engine& engine, std::span<const text::TokenId> window, std::size_t first,
                    Score& score, std::vector<float>& logits, std::vector<float>& scratch) {
  const auto vocabulary = static_cast<std::size_t>(engine.info().vocabulary);
  const int sequence = engine.open_sequence();
  const auto inputs = window.first(window.size() - 1);
  for (std::size_t start = 0; start < inputs.size(); start += kChunk) {
    const auto part = inputs.subspan(start, std::min<std::size_t>(kChunk, inputs.size() - start));
    TRY(engine.append(sequence, part, static_cast<std::int64_t>(start), nullptr, logits.data()));
    for (std::size_t row = 0; row < part.size(); ++row) {
      const std::size_t predicted = start + row + 1;
      if (predicted < first) continue;
      const std::span<const float> row_logits(&logits[row * vocabulary], vocabulary);
      score.add(negative_log_likelihood(row_logits, window[predicted], scratch));
    }
    if (interrupted()) return Error{.kind = ErrorKind::kCancelled, .what = "interrupted"};
  }
  engine.close_sequence(sequence);
  return {};
}

// Cuts the text into windows; each starts with BOS where the model adds one.
std::vector<std::vector<text::TokenId>> cut_windows(const std::vector<text::TokenId>& tokens,
                                                    std::optional<text::TokenId> bos, std::size_t size,
                                                    bool whole_only) {
  std::vector<std::vector<text::TokenId>> windows;
  const std::size_t payload = size - (bos ? 1 : 0);
  for (std::size_t start = 0; start < tokens.size(); start += payload) {
    const std::size_t count = std::min(payload, tokens.size() - start);
    if (whole_only && count < payload && start > 0) break;
    std::vector<text::TokenId> window(count + size - payload, bos.value_or(0));
    std::copy_n(tokens.begin() + static_cast<std::ptrdiff_t>(start), count,
                window.end() - static_cast<std::ptrdiff_t>(count));
    if (window.size() >= 2) windows.push_back(std::move(window));
  }
  return windows;
}

Status run(const Options& options) {
  engine::LoadOptions load = TRY(load_options(options.common, ops::KvType::kF16));
  const std::string text = TRY(read_input(options.file));
  files::Checkpoint checkpoint = TRY(files::open_checkpoint(options.model));
  const text::Tokenizer* tokenizer = TRY(tokenizer_of(checkpoint));
  if (load.context == 0) load.context = kDefaultWindow;
  const auto tokens = tokenizer->encode(text);
  const auto bos = tokenizer->adds_bos() ? tokenizer->bos() : std::nullopt;
  const auto windows = cut_windows(
      tokens, bos, static_cast<std::size_t>(std::max<std::int64_t>(load.context, 2)), options.second_half);
  if (windows.empty())
    return Error{.what = "too little text to score", .where = options.file, .expected = "2 tokens"};
  const std::int64_t context = load.context;
  const auto engine = TRY(load_engine(std::move(checkpoint), options.common, std::move(load)));
  const auto vocabulary = static_cast<std::size_t>(engine->info().vocabulary);
  std::vector<float> logits(static_cast<std::size_t>(kChunk) * vocabulary);
  std::vector<float> scratch(vocabulary);
  Score score;
  ProgressBar bar("scoring", options.common.quiet);
  catch_interrupts();
  for (std::size_t i = 0; i < windows.size(); ++i) {
    bar.update(static_cast<double>(i) / static_cast<double>(windows.size()));
    const std::size_t first = options.second_half ? windows[i].size() / 2 : 1;
    TRY(score_window(*engine, windows[i], std::max<std::size_t>(first, 1), score, logits, scratch));
  }
  restore_interrupts();
  bar.finish();
  if (!std::isfinite(score.mean()))
    return Error{.what = "the model computed no finite likelihood", .where = options.model};
  if (options.common.json) {
    return write_json(
        json::object{{"model", options.model},
                     {"file", options.file},
                     {"context", context},
                     {"windows", windows.size()},
                     {"tokens", tokens.size()},
                     {"scored", score.count},
                     {"nats_per_token", score.mean()},
                     {"bits_per_byte", score.mean() / std::log(2.0) * static_cast<double>(tokens.size()) /
                                           static_cast<double>(text.size())},
                     {"perplexity", score.perplexity()},
                     {"standard_error", score.standard_error()}});
  }
  return write_out(fmt::format("perplexity {:.4f} +- {:.4f} ({} of {} tokens scored, {} windows of {})\n",
                               score.perplexity(), score.standard_error(), score.count, tokens.size(),
                               windows.size(), context));
}

}  // namespace

Command add_perplexity(CLI::App& root) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root.add_subcommand("perplexity", "how well the model predicts a text");
  add_text(*app, "MODEL", options->model, "model file or folder")->required();
  add_text(*app, "-f,--file", options->file, "text to score; - for standard input")->required();
  app->add_flag("--second-half", options->second_half,
                "score only the second half of each window, so that every prediction has context");
  add_common_options(*app, options->common);
  add_packed_option(*app, options->common);
  add_adapter_option(*app, options->common);
  app->footer(
      "The text is cut into windows of --context tokens (default 512), each starting with BOS where the "
      "model adds\n"
      "one, and every token is predicted from those before it in its window.\n"
      "Example:\n"
      "  maestrale perplexity model.gguf --file wiki.test.raw --context 2048 --second-half");
  return {app, [options] { return run(*options); }};
}

}  // namespace maestrale::app
