// The expressions behind tokenizer.ggml.pre. Expressions are facts of the published tokenizers.
#include <array>

#include "files/vocabulary_source.h"

namespace maestrale::files {
namespace {

#define MAESTRALE_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define MAESTRALE_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define MAESTRALE_LEAD "[^\\r\\n\\p{L}\\p{N}]?"
#define MAESTRALE_SHORT "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define MAESTRALE_TAIL "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

struct PreRow {
  std::string_view name, expression;
};

constexpr std::array kRows = {
    PreRow{"llama-bpe", MAESTRALE_SHORT "|" MAESTRALE_LEAD
                                        "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" MAESTRALE_TAIL},
    PreRow{"qwen2", MAESTRALE_SHORT "|" MAESTRALE_LEAD
                                    "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" MAESTRALE_TAIL},
    PreRow{"tekken", MAESTRALE_LEAD MAESTRALE_UPPER
           "*" MAESTRALE_LOWER "+|" MAESTRALE_LEAD MAESTRALE_UPPER "+" MAESTRALE_LOWER
           "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" MAESTRALE_TAIL},
    PreRow{"gpt-4o", MAESTRALE_LEAD MAESTRALE_UPPER
           "*" MAESTRALE_LOWER "+" MAESTRALE_SHORT "?|" MAESTRALE_LEAD MAESTRALE_UPPER "+" MAESTRALE_LOWER
           "*" MAESTRALE_SHORT "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" MAESTRALE_TAIL},
    PreRow{"gpt-2", "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
};

#undef MAESTRALE_UPPER
#undef MAESTRALE_LOWER
#undef MAESTRALE_LEAD
#undef MAESTRALE_SHORT
#undef MAESTRALE_TAIL

}  // namespace

Result<std::string> pre_name_of(std::string_view expression, const std::string& where) {
  for (const PreRow& row : kRows) {
    if (row.expression == expression) return std::string(row.name);
  }
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "GGUF has no name here for this pre-tokenizer",
               .where = where,
               .found = std::string(expression)};
}

Result<std::string> expression_of(std::string_view pre_name, const std::string& where) {
  for (const PreRow& row : kRows) {
    if (row.name == pre_name) return std::string(row.expression);
  }
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "no expression is known here for this pre-tokenizer",
               .where = where,
               .found = std::string(pre_name)};
}

}  // namespace maestrale::files
