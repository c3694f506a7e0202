// Cost of token masks: grammar_bench VOCABULARY
// VOCABULARY: a tiktoken rank file (.tiktoken), a SentencePiece .model, a tokenizer.json or a tekken.json.
// Each grammar is walked by random choices, three answers one after another (the second and third find what
// the first has learnt); prints compile time and the masks' mean and worst time on one core.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include "base/file.h"
#include "grammar/grammar.h"
#include "text/tokenizer/load.h"

namespace maestrale::grammar {
namespace {

constexpr std::uint64_t kFileMax = std::uint64_t{1} << 30;

// Processor time of this thread, so that a busy machine does not count.
double seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Result<text::TokenizerPtr> load(const std::string& path) {
  const std::string bytes = TRY(read_file(path, kFileMax));
  if (path.ends_with("tekken.json")) return text::tokenizer_from_tekken(bytes, path);
  if (path.ends_with(".json")) return text::tokenizer_from_json(bytes, "", path);
  if (!path.ends_with(".tiktoken")) return text::tokenizer_from_sentencepiece(bytes, path);
  text::TiktokenSpec spec;
  spec.pattern = R"(\p{L}+|\p{N}{1,3}|\s+|[^\s\p{L}\p{N}]+)";
  return text::tokenizer_from_tiktoken(bytes, spec, path);
}

struct Cost {
  double sum = 0, worst = 0;
  int masks = 0;
};

// One answer of at most `steps` tokens. Short tokens are chosen now and then, so that strings come to an end.
Cost walk(const GrammarPtr& grammar, const TokenTablePtr& tokens, std::size_t words, int steps,
          std::uint64_t seed) {
  Matcher matcher(grammar, tokens);
  Cost cost;
  std::vector<std::uint64_t> mask(words);
  std::vector<text::TokenId> allowed;
  for (int step = 0; step < steps && !matcher.finished(); ++step) {
    std::fill(mask.begin(), mask.end(), ~std::uint64_t{0});
    const double begin = seconds();
    matcher.mask(mask);
    const double took = seconds() - begin;
    cost.sum += took;
    cost.worst = std::max(cost.worst, took);
    ++cost.masks;
    allowed.clear();
    for (std::size_t token = 0; token < words * 64; ++token) {
      if ((mask[token / 64] >> token % 64 & 1) != 0) allowed.push_back(static_cast<text::TokenId>(token));
    }
    if (allowed.empty()) break;
    seed = seed * 6364136223846793005 + 1442695040888963407;
    const std::size_t range = (seed >> 60) < 6 ? std::min<std::size_t>(allowed.size(), 40) : allowed.size();
    matcher.accept(allowed[(seed >> 20) % range]);
  }
  return cost;
}

const char* const kPerson =
    R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer",
"minimum":0,"maximum":150},"email":{"type":"string","format":"email"},"tags":{"type":"array","items":{"enum":
["red","green","blue"]}},"address":{"type":"object","properties":{"street":{"type":"string","maxLength":200},
"city":{"type":"string","minLength":1}},"required":["street","city"],"additionalProperties":false}},
"required":["name","age","address"],"additionalProperties":false})";
const char* const kTree =
    R"({"$defs":{"node":{"type":"object","properties":{"label":{"type":"string"},"children":
{"type":"array","items":{"$ref":"#/$defs/node"}}},"required":["label","children"],"additionalProperties":false}},
"$ref":"#/$defs/node"})";
const char* const kArithmetic =
    "root ::= sum\nsum ::= product ([-+] product)*\nproduct ::= atom ([*/] atom)*\n"
    "atom ::= [0-9]{1,9} | \"(\" sum \")\"\n";

void measure(const char* name, const GrammarPtr& grammar, double compiled, const TokenTablePtr& tokens,
             std::size_t words) {
  std::printf("%-12s compile %7.2f ms", name, compiled * 1e3);
  for (std::uint64_t answer = 0; answer < 3; ++answer) {
    const Cost cost = walk(grammar, tokens, words, 300, answer * 7 + 1);
    std::printf("  | %3d masks, mean %7.1f us, worst %7.1f us", cost.masks,
                cost.masks > 0 ? cost.sum / cost.masks * 1e6 : 0, cost.worst * 1e6);
  }
  std::printf("\n");
}

template <class Compile>
void row(const char* name, const TokenTablePtr& tokens, std::size_t words, Compile compile) {
  const double begin = seconds();
  const Result<GrammarPtr> grammar = compile();
  const double compiled = seconds() - begin;
  if (!grammar) {
    std::printf("%-12s %s\n", name, grammar.error().render().c_str());
    return;
  }
  measure(name, *grammar, compiled, tokens, words);
}

int run(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "grammar_bench VOCABULARY\n");
    return 2;
  }
  const auto tokenizer = load(arguments[1]);
  if (!tokenizer) {
    std::fprintf(stderr, "%s\n", tokenizer.error().render().c_str());
    return 1;
  }
  const double begin = seconds();
  const TokenTablePtr tokens = make_token_table(**tokenizer);
  const auto size = static_cast<std::size_t>((*tokenizer)->size());
  std::printf("%zu tokens, table made in %.0f ms\n", size, (seconds() - begin) * 1e3);
  const std::size_t words = (size + 63) / 64;
  const auto schema = [](const char* text) { return compile_json_schema(*parse_json(text, "bench")); };
  row("json_object", tokens, words, [] { return compile_json_object(); });
  row("person", tokens, words, [&] { return schema(kPerson); });
  row("tree", tokens, words, [&] { return schema(kTree); });
  row("pattern", tokens, words,
      [&] { return schema(R"({"type":"string","pattern":"^[A-Z][a-z]+( [A-Z][a-z]+)*$","maxLength":80})"); });
  row("regex", tokens, words, [] { return compile_regex("(\\w+ )*\\w+\\.( .*)?"); });
  row("text 2000", tokens, words, [] { return compile_regex(".{0,2000}"); });
  row("arithmetic", tokens, words, [] { return compile_gbnf(kArithmetic); });
  row("letters 300", tokens, words,
      [] { return compile_gbnf("root ::= ([a-z] | [a-m] | [g-z] \" \"){0,300}"); });
  return 0;
}

}  // namespace
}  // namespace maestrale::grammar

int main(int count, char** arguments) { return maestrale::grammar::run(count, arguments); }
