#include "text/tokenizer/tokenizer.h"

namespace maestrale::text {

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, DecodeOptions options)
    : tokenizer_(&tokenizer), options_(options) {}

std::string StreamDecoder::push(TokenId token) {
  std::string bytes;
  tokenizer_->append_decoded(token, options_, first_, bytes);
  return stream_.push(bytes);
}

std::string StreamDecoder::flush() { return stream_.flush(); }

}  // namespace maestrale::text
