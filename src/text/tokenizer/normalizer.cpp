// The normalisers of Hugging Face's tokenizers library.
#include "text/tokenizer/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/utf8.h"
#include "text/tokenizer/unicode.h"

namespace maestrale::text {
namespace {

// Canonical ordering is an insertion sort in utf8proc: sorting long runs of combining marks beforehand keeps
// it linear and changes nothing.
std::string with_sorted_marks(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::vector<char32_t> marks;
  const auto combining = [](char32_t c) {
    return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
  };
  const auto flush = [&] {
    std::stable_sort(marks.begin(), marks.end(),
                     [&](char32_t a, char32_t b) { return combining(a) < combining(b); });
    for (const char32_t mark : marks) append_utf8(out, mark);
    marks.clear();
  };
  while (!text.empty()) {
    const DecodedCodepoint c = decode_utf8(text);
    if (combining(c.codepoint) != 0) {
      marks.push_back(c.codepoint);
    } else {
      flush();
      append_utf8(out, c.codepoint);
    }
    text.remove_prefix(static_cast<std::size_t>(c.length));
  }
  flush();
  return out;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

class UnicodeNormalizer final : public Normalizer {
 public:
  explicit UnicodeNormalizer(UnicodeForm form) : form_(form) {}

  std::string apply(std::string_view text, const Stretch&) const override {
    if (is_ascii(text)) return std::string(text);
    std::string out;
    while (!text.empty()) {
      const std::size_t valid = std::min(find_invalid_utf8(text), text.size());
      out += valid_part(text.substr(0, valid));
      text.remove_prefix(valid);
      if (text.empty()) break;
      const auto length = static_cast<std::size_t>(decode_utf8(text).length);
      out.append(text.substr(0, length));
      text.remove_prefix(length);
    }
    return out;
  }

 private:
  std::string valid_part(std::string_view text) const {
    if (text.empty()) return {};
    const std::string sorted = with_sorted_marks(text);
    int options = UTF8PROC_STABLE;
    const bool composed = form_ == UnicodeForm::kNfc || form_ == UnicodeForm::kNfkc;
    options |= composed ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    if (form_ == UnicodeForm::kNfkc || form_ == UnicodeForm::kNfkd) options |= UTF8PROC_COMPAT;
    utf8proc_uint8_t* mapped = nullptr;
    const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(sorted.data()),
                                               static_cast<utf8proc_ssize_t>(sorted.size()), &mapped,
                                               static_cast<utf8proc_option_t>(options));
    if (size < 0) return std::string(text);
    std::string out(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size));
    std::free(mapped);  // utf8proc allocates with malloc
    return out;
  }

  UnicodeForm form_;
};

// Normalisers that look at one character at a time; bytes that are not UTF-8 pass unchanged.
template <class Function>
class PerCharacter final : public Normalizer {
 public:
  explicit PerCharacter(Function function) : function_(std::move(function)) {}
  std::string apply(std::string_view text, const Stretch&) const override {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
      const DecodedCodepoint c = decode_utf8(text);
      const auto length = static_cast<std::size_t>(c.length);
      if (c.valid) {
        function_(out, c.codepoint);
      } else {
        out.append(text.substr(0, length));
      }
      text.remove_prefix(length);
    }
    return out;
  }

 private:
  Function function_;
};

template <class Function>
class WholeText final : public Normalizer {
 public:
  explicit WholeText(Function function) : function_(std::move(function)) {}
  std::string apply(std::string_view text, const Stretch& stretch) const override {
    return function_(text, stretch);
  }

 private:
  Function function_;
};

template <class Function>
NormalizerPtr per_character(Function function) {
  return std::make_unique<const PerCharacter<Function>>(std::move(function));
}

template <class Function>
NormalizerPtr whole_text(Function function) {
  return std::make_unique<const WholeText<Function>>(std::move(function));
}

void append_first_of_decomposition(std::string& out, char32_t c) {
  std::array<utf8proc_int32_t, 32> parts{};
  int boundary = 0;
  const utf8proc_ssize_t count = utf8proc_decompose_char(
      static_cast<utf8proc_int32_t>(c), parts.data(), static_cast<utf8proc_ssize_t>(parts.size()),
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE), &boundary);
  const char32_t first = count > 0 ? static_cast<char32_t>(parts[0]) : c;
  if ((category_bits()[first] & kMark) == 0) append_utf8(out, first);
}

bool is_chinese(char32_t c) {
  constexpr std::array<std::array<char32_t, 2>, 8> kRanges = {{{0x4e00, 0x9fff},
                                                               {0x3400, 0x4dbf},
                                                               {0x20000, 0x2a6df},
                                                               {0x2a700, 0x2b73f},
                                                               {0x2b740, 0x2b81f},
                                                               {0x2b920, 0x2ceaf},
                                                               {0xf900, 0xfaff},
                                                               {0x2f800, 0x2fa1f}}};
  return std::any_of(kRanges.begin(), kRanges.end(), [c](const auto& r) { return c >= r[0] && c <= r[1]; });
}

}  // namespace

NormalizerPtr make_unicode_normalizer(UnicodeForm form) {
  return std::make_unique<const UnicodeNormalizer>(form);
}

NormalizerPtr make_lowercase() { return per_character(append_lower); }

NormalizerPtr make_strip_accents() {
  return per_character([](std::string& out, char32_t c) {
    if (!is_nonspacing_mark(c)) append_utf8(out, c);
  });
}

NormalizerPtr make_prepend(std::string prefix) {
  return whole_text([prefix = std::move(prefix)](std::string_view text, const Stretch&) {
    return text.empty() ? std::string() : prefix + std::string(text);
  });
}

NormalizerPtr make_replace(std::string from, std::string to) {
  return whole_text([from = std::move(from), to = std::move(to)](std::string_view text, const Stretch&) {
    std::string out;
    for (std::size_t at = text.find(from); !from.empty() && at != std::string_view::npos;
         at = text.find(from)) {
      out.append(text.substr(0, at)).append(to);
      text.remove_prefix(at + from.size());
    }
    return out.append(text);
  });
}

NormalizerPtr make_collapse_blanks(std::string to) {
  return whole_text([to = std::move(to)](std::string_view text, const Stretch&) {
    std::string out;
    for (std::size_t pos = 0; pos < text.size();) {
      const std::size_t end = std::min(text.find_first_not_of(' ', pos), text.size());
      if (end - pos >= 2) {
        out.append(to);
        pos = end;
      } else {
        out += text[pos++];
      }
    }
    return out;
  });
}

NormalizerPtr make_strip(bool left, bool right) {
  return whole_text([left, right](std::string_view text, const Stretch&) {
    const Scanner scanner(text);
    const std::size_t begin = left ? scanner.skip(0, kWhiteSpace) : 0;
    std::size_t end = text.size();
    if (right) {
      for (std::size_t pos = end = begin; pos < text.size();) {
        pos = scanner.skip(pos, kWhiteSpace);
        if (pos < text.size()) pos = end = scanner.skip_until(pos, kWhiteSpace);
      }
    }
    return std::string(text.substr(begin, end - begin));
  });
}

NormalizerPtr make_prefix_unless_there(std::string prefix, bool first_only) {
  return whole_text([prefix = std::move(prefix), first_only](std::string_view text, const Stretch& stretch) {
    const bool there =
        text.empty() || text.substr(0, prefix.size()) == prefix || (first_only && !stretch.first);
    return there ? std::string(text) : prefix + std::string(text);
  });
}

NormalizerPtr make_bert_normalizer(const BertRules& rules) {
  std::vector<NormalizerPtr> steps;
  if (rules.clean) {
    steps.push_back(per_character([](std::string& out, char32_t c) {
      if (c == 0 || c == 0xfffd || is_control(c)) {
        if (is_white_space(c)) out += ' ';
      } else if (is_white_space(c)) {
        out += ' ';
      } else {
        append_utf8(out, c);
      }
    }));
  }
  if (rules.chinese) {
    steps.push_back(per_character([](std::string& out, char32_t c) {
      const bool chinese = is_chinese(c);
      if (chinese) out += ' ';
      append_utf8(out, c);
      if (chinese) out += ' ';
    }));
  }
  if (rules.strip_accents) {
    if (rules.first_of_decomposition) {
      steps.push_back(per_character(append_first_of_decomposition));
    } else {
      steps.push_back(make_unicode_normalizer(UnicodeForm::kNfd));
      steps.push_back(make_strip_accents());
    }
  }
  if (rules.lowercase) steps.push_back(make_lowercase());
  return make_normalizer_sequence(std::move(steps));
}

NormalizerPtr make_normalizer_sequence(std::vector<NormalizerPtr> steps) {
  return whole_text([steps = std::move(steps)](std::string_view text, const Stretch& stretch) {
    std::string out(text);
    for (const NormalizerPtr& step : steps) out = step->apply(out, stretch);
    return out;
  });
}

}  // namespace maestrale::text
