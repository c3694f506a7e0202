// SentencePiece's white space rules.
#include "text/tokenizer/normalizer.h"

namespace maestrale::text {
namespace {

constexpr std::string_view kBlock = "\xe2\x96\x81";  // U+2581

class SentencePieceNormalizer final : public Normalizer {
 public:
  SentencePieceNormalizer(const SentencePieceRules& rules, NormalizerPtr charsmap)
      : rules_(rules), charsmap_(std::move(charsmap)) {}

  std::string apply(std::string_view text, const Stretch& stretch) const override {
    if (charsmap_ == nullptr) return space(text);
    return space(charsmap_->apply(text, stretch));
  }

 private:
  std::string space(std::string_view text) const {
    if (rules_.remove_extra_white_space) {
      text = text.substr(std::min(text.find_first_not_of(' '), text.size()));
      text = text.substr(0, text.find_last_not_of(' ') + 1);
    }
    if (text.empty()) return {};
    const std::string_view blank = rules_.escape_white_space ? kBlock : std::string_view(" ");
    std::string out;
    out.reserve(text.size() + text.size() / 2);
    if (rules_.dummy_prefix && !rules_.suffix) out.append(blank);
    bool after_blank = false;
    for (const char c : text) {
      if (c != ' ') {
        out += c;
      } else if (!after_blank || !rules_.remove_extra_white_space) {
        out.append(blank);
      }
      after_blank = c == ' ';
    }
    if (rules_.dummy_prefix && rules_.suffix) out.append(blank);
    return out;
  }

  SentencePieceRules rules_;
  NormalizerPtr charsmap_;
};

}  // namespace

NormalizerPtr make_sentencepiece_normalizer(const SentencePieceRules& rules, NormalizerPtr charsmap) {
  return std::make_unique<const SentencePieceNormalizer>(rules, std::move(charsmap));
}

}  // namespace maestrale::text
