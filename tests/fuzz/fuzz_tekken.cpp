// A tekken.json from arbitrary bytes: an error or a tokenizer that encodes and decodes.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/tokenizer/load.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace text = maestrale::text;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = text::tokenizer_from_tekken(bytes, "fuzz");
  if (!tokenizer) return 0;
  const std::vector<text::TokenId> ids = (*tokenizer)->encode("ab  1\n<s>\xff\xc3\xa9", {true, true});
  (*tokenizer)->decode(ids);
  text::StreamDecoder stream(**tokenizer);
  for (const text::TokenId id : ids) stream.push(id);
  stream.flush();
  return 0;
}
