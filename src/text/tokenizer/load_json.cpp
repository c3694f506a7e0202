#include "text/tokenizer/load.h"
namespace maestrale::text {
Result<TokenizerPtr> tokenizer_from_json(std::string_view, std::string_view, const std::string& where) {
  return Error{.kind = ErrorKind::kUnsupported, .what = "tokenizer.json", .where = where};
}
}  // namespace maestrale::text
