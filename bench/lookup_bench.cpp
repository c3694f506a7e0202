// What guessing ahead from the prompt gains on grounded text: each task's answer is written twice by a model
// of the given shape with random weights, held to the answer's tokens, without guesses and with as many as
// pay. lookup_bench TASKS.jsonl TOKENIZER.model [PRESET] [FORMAT] [ROUNDS] TASKS.jsonl: {"name", "prompt",
// "answer"} a line; TOKENIZER: a SentencePiece file.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "engine/engine.h"
#include "models/presets.h"
#include "text/tokenizer/load.h"

namespace maestrale {
namespace {

constexpr std::uint64_t kMostBytes = 64 << 20;

// Lets nothing but the given tokens follow.
class Script : public engine::TokenConstraint {
 public:
  explicit Script(const std::vector<text::TokenId>& tokens) : tokens_(tokens) {}
  void mask(std::span<std::uint64_t> mask) override {
    std::fill(mask.begin(), mask.end(), 0);
    if (finished()) return;
    const auto token = static_cast<std::size_t>(tokens_[at_]);
    mask[token / 64] = std::uint64_t{1} << (token % 64);
  }
  bool accept(text::TokenId token) override { return token == tokens_[at_++]; }
  bool finished() const override { return at_ == tokens_.size(); }

 private:
  const std::vector<text::TokenId>& tokens_;
  std::size_t at_ = 0;
};

struct Task {
  std::string name;
  std::vector<text::TokenId> prompt, answer;
};

Result<std::vector<Task>> read_tasks(const std::string& path, const text::Tokenizer& tokenizer) {
  std::vector<Task> tasks;
  const std::string text = TRY(read_file(path, kMostBytes));
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = std::min(text.find('\n', from), text.size());
    const json::object line =
        TRY(parse_json(std::string_view(text).substr(from, end - from), path)).as_object();
    const auto encode = [&](const char* field, bool first) {
      return tokenizer.encode(std::string(line.at(field).as_string()),
                              {.add_special = first, .parse_special = false});
    };
    tasks.push_back(
        {std::string(line.at("name").as_string()), encode("prompt", true), encode("answer", false)});
    from = end + 1;
  }
  return tasks;
}

double middle(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Status measure(engine::Engine& engine, const Task& task, int rounds) {
  std::vector<double> speeds[2];
  double right = 0;
  for (int round = 0; round < rounds; ++round) {
    for (const std::int64_t drafts : {std::int64_t{0}, engine::kDefaultDrafts}) {
      engine::GenerateRequest request;
      request.prompt = task.prompt;
      request.sampling.temperature = 0;
      request.drafts = drafts;
      Script script(task.answer);
      const engine::Generation result = TRY(engine.generate(request, {}, &script));
      if (result.tokens != task.answer) {
        return Error{.what = "the answer is not the one of the script",
                     .where = task.name,
                     .expected = std::to_string(task.answer.size()) + " tokens",
                     .found = std::to_string(result.tokens.size()) + " tokens"};
      }
      speeds[drafts > 0].push_back(static_cast<double>(task.answer.size() - 1) / result.decode_s);
      if (drafts > 0)
        right = static_cast<double>(result.guessed_right) / static_cast<double>(task.answer.size());
    }
  }
  const double alone = middle(speeds[0]), guessed = middle(speeds[1]);
  fmt::print("{:24} {:5} {:6} {:9.1f} {:9.1f} {:6.2f} x  {:3.0f} %\n", task.name, task.prompt.size(),
             task.answer.size(), alone, guessed, guessed / alone, 100 * right);
  return {};
}

Status run(const std::vector<std::string>& args) {
  if (args.size() < 2) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "lookup_bench TASKS.jsonl TOKENIZER.model [PRESET] [FORMAT] [ROUNDS]"};
  }
  const auto tokenizer =
      TRY(text::tokenizer_from_sentencepiece(TRY(read_file(args[1], kMostBytes)), args[1]));
  const std::vector<Task> tasks = TRY(read_tasks(args[0], *tokenizer));
  std::int64_t context = 0;
  for (const Task& task : tasks)
    context = std::max(context, std::ssize(task.prompt) + std::ssize(task.answer));
  const std::string preset = args.size() > 2 ? args[2] : "tinyllama-1.1b";
  const std::string format = args.size() > 3 ? args[3] : "q4_0";
  const int rounds = args.size() > 4 ? std::max(1, std::atoi(args[4].c_str())) : 3;
  const auto engine =
      TRY(engine::Engine::load(TRY(models::preset_checkpoint(preset, format)), {.context = context}));
  fmt::print("{} {}, {} threads, medians of {}\n", preset, format, engine->threads(), rounds);
  fmt::print("{:24} {:>5} {:>6} {:>9} {:>9} {:>8}  {}\n", "task", "in", "out", "tokens/s", "guessing", "",
             "right");
  std::fflush(stdout);
  for (const Task& task : tasks) {
    TRY(measure(*engine, task, rounds));
    std::fflush(stdout);
  }
  return {};
}

}  // namespace
}  // namespace maestrale

int main(int argc, char** argv) {
  const maestrale::Status status = maestrale::run({argv + 1, argv + argc});
  if (status.ok()) return 0;
  fmt::print(stderr, "{}\n", status.error().render());
  return 1;
}
