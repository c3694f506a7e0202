// Speed of encoding: tokenizer_bench VOCABULARY TEXT [REPEATS]
// VOCABULARY: a tiktoken rank file (.tiktoken; Llama 3's expression), a SentencePiece .model or a
// tokenizer.json. Prints MB/s on one core for the text as a whole and for ten megabytes of one letter.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "base/file.h"
#include "text/tokenizer/load.h"

namespace maestrale::text {
namespace {

constexpr std::uint64_t kFileMax = std::uint64_t{1} << 30;

// Processor time of this process, so that a busy machine does not count.
double seconds() { return static_cast<double>(std::clock()) / static_cast<double>(CLOCKS_PER_SEC); }

Result<TokenizerPtr> load(const std::string& path) {
  const std::string bytes = TRY(read_file(path, kFileMax));
  if (path.ends_with(".json")) return tokenizer_from_json(bytes, "", path);
  if (!path.ends_with(".tiktoken")) return tokenizer_from_sentencepiece(bytes, path);
  TiktokenSpec spec;
  spec.pattern =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  return tokenizer_from_tiktoken(bytes, spec, path);
}

void measure(const Tokenizer& tokenizer, const std::string& text, int repeats, const char* name) {
  double best = 1e30;
  std::size_t tokens = 0;
  for (int i = 0; i < repeats; ++i) {
    const double begin = seconds();
    tokens = tokenizer.encode(text).size();
    best = std::min(best, seconds() - begin);
  }
  const double megabytes = static_cast<double>(text.size()) / 1e6;
  std::printf("%-12s %8.2f MB %10zu tokens %8.3f s %8.1f MB/s\n", name, megabytes, tokens, best,
              megabytes / best);
}

int run(int count, char** arguments) {
  if (count < 3) {
    std::fprintf(stderr, "tokenizer_bench VOCABULARY TEXT [REPEATS]\n");
    return 2;
  }
  const double begin = seconds();
  const auto tokenizer = load(arguments[1]);
  const auto text = read_file(arguments[2], kFileMax);
  if (!tokenizer || !text) {
    std::fprintf(stderr, "%s\n", (!tokenizer ? tokenizer.error() : text.error()).render().c_str());
    return 1;
  }
  std::printf("loaded in %.3f s\n", seconds() - begin);
  measure(**tokenizer, *text, count > 3 ? std::atoi(arguments[3]) : 5, "text");
  measure(**tokenizer, std::string(10'000'000, 'a'), 1, "one letter");
  return 0;
}

}  // namespace
}  // namespace maestrale::text

int main(int count, char** arguments) { return maestrale::text::run(count, arguments); }
