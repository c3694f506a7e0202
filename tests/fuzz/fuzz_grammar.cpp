// Any text as a grammar of each kind: one clear error, or a matcher that lives within its limits. The first
// byte chooses the kind; what follows a line of its own `====` is the answer to match.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "grammar/grammar.h"
#include "grammar/test_support.h"
#include "grammar/validate.h"

namespace {

namespace grammar = maestrale::grammar;

maestrale::Result<grammar::GrammarPtr> compile(std::uint8_t kind, std::string_view source) {
  if (kind % 4 == 0) return grammar::compile_regex(source);
  if (kind % 4 == 1) return grammar::compile_gbnf(source);
  const auto schema = TRY(maestrale::parse_json(source, "fuzz"));
  if (kind % 4 == 2) (void)grammar::Validator::make(schema).ok();
  return grammar::compile_json_schema(schema, {.compact = kind % 4 == 3});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto tokenizer = grammar::test_tokenizer({"ab", "\":", "\",\"", "{\"", "}}", "12", "  "});
  static const auto tokens = grammar::make_token_table(*tokenizer);
  if (size == 0 || size > 4000) return 0;
  std::string_view source(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t cut = source.find("\n====\n");
  const std::string_view answer = cut == std::string_view::npos ? "" : source.substr(cut + 6);
  const auto made = compile(data[0], source.substr(0, cut));
  if (!made) return 0;
  grammar::Matcher matcher(*made, tokens);
  std::vector<std::uint64_t> mask((static_cast<std::size_t>(tokenizer->size()) + 63) / 64);
  for (std::size_t i = 0; i < answer.size() && i < 40; ++i) {
    std::fill(mask.begin(), mask.end(), ~std::uint64_t{0});
    matcher.mask(mask);
    const auto byte = static_cast<unsigned char>(answer[i]);
    const bool allowed = (mask[byte / 64] >> byte % 64 & 1) != 0;
    if (matcher.accept(byte) != allowed) std::abort();  // a mask says what can be accepted
    if (!allowed) break;
  }
  return 0;
}
