// SentencePiece's precompiled_charsmap: u32 size, a double array trie of that size (Darts-clone layout: one
// u32 a unit) from UTF-8 prefixes to offsets, then the replacements, each ended by a zero byte.
#include <cstring>
#include <vector>

#include "base/utf8.h"
#include "text/tokenizer/normalizer.h"

namespace maestrale::text {
namespace {

struct Unit {
  std::uint32_t word = 0;
  bool has_leaf() const { return ((word >> 8) & 1) != 0; }
  std::uint32_t value() const { return word & 0x7fffffff; }
  std::uint32_t label() const { return word & 0x800000ff; }
  std::uint32_t offset() const { return (word >> 10) << ((word & 0x200) >> 6); }
};

class Charsmap final : public Normalizer {
 public:
  Charsmap(std::vector<Unit> units, std::string replacements)
      : units_(std::move(units)), replacements_(std::move(replacements)) {}

  std::string apply(std::string_view text, const Stretch&) const override {
    std::string out;
    out.reserve(text.size() + text.size() / 8);
    while (!text.empty()) {
      std::size_t length = 0;
      const std::string_view replacement = longest(text, length);
      if (length == 0) {
        const DecodedCodepoint c = decode_utf8(text);
        length = static_cast<std::size_t>(c.length);
        out.append(text.substr(0, length));  // bytes that are not UTF-8 pass
      } else {
        out.append(replacement);
      }
      text.remove_prefix(length);
    }
    return out;
  }

 private:
  // Units out of range end the walk: a damaged map changes less, never reads outside.
  std::string_view longest(std::string_view text, std::size_t& length) const {
    std::string_view found;
    std::size_t node = 0;
    if (units_.empty()) return found;
    node ^= units_[0].offset();
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      node ^= byte;
      if (byte == 0 || node >= units_.size() || units_[node].label() != byte) break;
      const bool leaf = units_[node].has_leaf();
      node ^= units_[node].offset();
      if (!leaf) continue;
      if (node >= units_.size()) break;
      const std::size_t at = units_[node].value();
      if (at >= replacements_.size()) break;
      found = std::string_view(replacements_).substr(at, replacements_.find('\0', at) - at);
      length = i + 1;
    }
    return found;
  }

  std::vector<Unit> units_;
  std::string replacements_;
};

}  // namespace

Result<NormalizerPtr> make_charsmap(std::string bytes, const std::string& where) {
  std::uint32_t size = 0;
  if (bytes.size() >= sizeof(size)) std::memcpy(&size, bytes.data(), sizeof(size));
  if (bytes.size() < sizeof(size) || size > bytes.size() - sizeof(size) || size % sizeof(Unit) != 0) {
    return Error{.what = "precompiled_charsmap is damaged",
                 .where = where,
                 .expected = "a size and a trie of that many bytes",
                 .found = std::to_string(bytes.size()) + " bytes that say " + std::to_string(size)};
  }
  std::vector<Unit> units(size / sizeof(Unit));
  if (size != 0) std::memcpy(units.data(), bytes.data() + sizeof(size), size);
  return NormalizerPtr(std::make_unique<const Charsmap>(std::move(units), bytes.substr(sizeof(size) + size)));
}

}  // namespace maestrale::text
