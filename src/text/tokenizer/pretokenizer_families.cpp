// Hand-written splitters of the frequent families. Each `next` function returns the end of the match that the
// family's published expression has at `pos` (alternatives in order, as a leftmost-first engine takes them),
// or `pos` where it has none: such characters gather into a piece of their own.
#include "text/tokenizer/pretokenizer.h"
#include "text/tokenizer/unicode.h"

namespace maestrale::text {
namespace {

constexpr std::uint8_t kWordOrSpace = kLetter | kNumber | kWhiteSpace;

bool is_newline(char32_t c) { return c == '\r' || c == '\n'; }

// 's 't 'm 'd 're 've 'll; with `any_case` also upper case and U+017F, which folds to s.
std::size_t contraction(const Scanner& s, std::size_t pos, bool any_case) {
  if (s.at(pos).code != '\'') return pos;
  const auto folded = [&](std::size_t p) -> Character {
    Character c = s.at(p);
    if (any_case && c.code >= 'A' && c.code <= 'Z') c.code += 'a' - 'A';
    if (any_case && c.code == 0x17f) c.code = 's';
    return c;
  };
  const Character a = folded(pos + 1);
  if (a.code == 's' || a.code == 't' || a.code == 'm' || a.code == 'd') return pos + 1 + a.length;
  const char32_t b = folded(pos + 2).code;
  const bool pair = ((a.code == 'r' || a.code == 'v') && b == 'e') || (a.code == 'l' && b == 'l');
  return pair ? pos + 3 : pos;
}

// `\s*[\r\n]+` (if newlines), `\s+(?!\S)`, `\s+`.
std::size_t white_space(const Scanner& s, std::size_t pos, bool newlines) {
  std::size_t end = pos;
  std::size_t last = pos;         // start of the run's last character
  std::size_t after_newline = 0;  // end of the run's last newline
  for (Character c = s.at(end); (c.bits & kWhiteSpace) != 0; c = s.at(end)) {
    last = end;
    end += c.length;
    if (is_newline(c.code)) after_newline = end;
  }
  if (newlines && after_newline != 0) return after_newline;
  if (end == s.size() || last == pos) return end;
  return last;
}

std::size_t numbers(const Scanner& s, std::size_t pos, int most) {
  for (int i = 0; i < most; ++i) {
    const Character c = s.at(pos);
    if ((c.bits & kNumber) == 0) break;
    pos += c.length;
  }
  return pos;
}

std::size_t newlines_after(const Scanner& s, std::size_t pos, bool slash) {
  while (pos < s.size() && (is_newline(s.at(pos).code) || (slash && s.at(pos).code == '/'))) ++pos;
  return pos;
}

// ` ?X+` where X has none of the bits in `excluded`; `pos` if there is none.
std::size_t others(const Scanner& s, std::size_t pos, std::uint8_t excluded) {
  const std::size_t begin = s.at(pos).code == ' ' ? pos + 1 : pos;
  const Character c = s.at(begin);
  return c.length == 0 || (c.bits & excluded) != 0 ? pos : s.skip_until(begin + c.length, excluded);
}

struct Gpt2 {
  static std::size_t next(const Scanner& s, std::size_t pos) {
    const std::size_t end = contraction(s, pos, false);
    if (end != pos) return end;
    const std::size_t begin = s.at(pos).code == ' ' ? pos + 1 : pos;
    const Character c = s.at(begin);
    if ((c.bits & kLetter) != 0) return s.skip(begin + c.length, kLetter);
    if ((c.bits & kNumber) != 0) return s.skip(begin + c.length, kNumber);
    if (c.length != 0 && (c.bits & kWhiteSpace) == 0) return s.skip_until(begin + c.length, kWordOrSpace);
    return white_space(s, pos, false);
  }
};

// Llama 3, cl100k, Qwen: they differ in how many digits stay together, in marks and in white space at the
// end.
template <int digits, bool marks, bool tail_whole>
struct Cl100k {
  static std::size_t next(const Scanner& s, std::size_t pos) {
    constexpr std::uint8_t word = marks ? kLetter | kMark : kLetter;
    const std::size_t end = contraction(s, pos, true);
    if (end != pos) return end;
    const Character c = s.at(pos);
    if ((c.bits & (kLetter | kNumber)) == 0 && !is_newline(c.code)) {
      const Character following = s.at(pos + c.length);
      if ((following.bits & word) != 0) return s.skip(pos + c.length + following.length, word);
    }
    if ((c.bits & word) != 0) return s.skip(pos + c.length, word);
    if ((c.bits & kNumber) != 0) return numbers(s, pos, digits);
    const std::size_t symbols = others(s, pos, kWordOrSpace | word);
    if (symbols != pos) return newlines_after(s, symbols, false);
    if (tail_whole && s.skip(pos, kWhiteSpace) == s.size()) return s.size();
    return white_space(s, pos, true);
  }
};

// The word alternatives of o200k and Tekken from `pos`, without the optional leading character:
// `[upper]*[lower]+` and, failing that, `[upper]+`. 0 where neither matches.
std::size_t cased_word(const Scanner& s, std::size_t pos, bool lower_needed) {
  std::size_t end = pos;
  std::size_t last_lower = 0;  // end of the last upper-like character that is lower-like too
  for (Character c = s.at(end); (c.bits & kUpperLike) != 0; c = s.at(end)) {
    end += c.length;
    if ((c.bits & kLowerLike) != 0) last_lower = end;
  }
  if ((s.at(end).bits & kLowerLike) != 0) return s.skip(end, kLowerLike);
  if (lower_needed) return last_lower;
  return end == pos ? 0 : end;
}

template <int digits, bool contractions>
struct O200k {
  static std::size_t next(const Scanner& s, std::size_t pos) {
    const Character c = s.at(pos);
    const bool leads = (c.bits & (kLetter | kNumber)) == 0 && !is_newline(c.code);
    std::size_t end = 0;
    for (const bool lower_needed : {true, false}) {
      if (end == 0 && leads) end = cased_word(s, pos + c.length, lower_needed);
      if (end == 0) end = cased_word(s, pos, lower_needed);
    }
    if (end != 0) return contractions ? contraction(s, end, true) : end;
    if ((c.bits & kNumber) != 0) return numbers(s, pos, digits);
    const std::size_t symbols = others(s, pos, kWordOrSpace);
    if (symbols != pos) return newlines_after(s, symbols, true);
    return white_space(s, pos, true);
  }
};

struct NumbersByThree {
  static std::size_t next(const Scanner& s, std::size_t pos) { return numbers(s, pos, 3); }
};

struct SingleNumbers {
  static std::size_t next(const Scanner& s, std::size_t pos) { return numbers(s, pos, 1); }
};

struct SinglePunctuation {
  static std::size_t next(const Scanner& s, std::size_t pos) {
    const Character c = s.at(pos);
    const bool ascii_symbol = c.code < 0x80 && (c.bits & kSymbol) != 0;
    return ascii_symbol || (c.bits & kPunctuation) != 0 ? pos + c.length : pos;
  }
};

struct CjkRuns {
  static bool holds(char32_t c) { return (c >= 0x4e00 && c <= 0x9fa5) || (c >= 0x3040 && c <= 0x30ff); }
  static std::size_t next(const Scanner& s, std::size_t pos) {
    for (Character c = s.at(pos); holds(c.code); c = s.at(pos)) pos += c.length;
    return pos;
  }
};

struct DeepseekV3Words {
  static bool ascii_punctuation(const Character& c) {
    return c.code < 0x80 && (c.bits & (kPunctuation | kSymbol)) != 0;
  }
  static bool ascii_letter(char32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

  static std::size_t next(const Scanner& s, std::size_t pos) {
    constexpr std::uint8_t word = kLetter | kMark;
    const Character c = s.at(pos);
    if (ascii_punctuation(c) && ascii_letter(s.at(pos + 1).code)) {
      std::size_t end = pos + 1;
      while (ascii_letter(s.at(end).code)) ++end;
      return end;
    }
    if ((c.bits & (kLetter | kPunctuation | kSymbol)) == 0 && !is_newline(c.code)) {
      const Character following = s.at(pos + c.length);
      if ((following.bits & word) != 0) return s.skip(pos + c.length + following.length, word);
    }
    if ((c.bits & word) != 0) return s.skip(pos + c.length, word);
    const std::size_t begin = c.code == ' ' ? pos + 1 : pos;
    const std::size_t symbols = s.skip(begin, kPunctuation | kSymbol);
    if (symbols != begin) return newlines_after(s, symbols, false);
    return white_space(s, pos, true);
  }
};

template <class Family>
class FamilySplitter final : public PreTokenizer {
 public:
  void split(std::string_view text, PieceSink& sink) const override {
    const Scanner scanner(text);
    std::size_t begin = 0;  // of what is not handed on yet
    for (std::size_t pos = 0; pos < text.size();) {
      const std::size_t end = Family::next(scanner, pos);
      if (end == pos) {
        pos += scanner.at(pos).length;
        continue;
      }
      if (begin != pos) sink.piece(text.substr(begin, pos - begin));
      sink.piece(text.substr(pos, end - pos));
      begin = pos = end;
    }
    if (begin != text.size()) sink.piece(text.substr(begin));
  }
};

class WhiteSpaceDropper final : public PreTokenizer {
 public:
  void split(std::string_view text, PieceSink& sink) const override {
    const Scanner scanner(text);
    for (std::size_t pos = 0;;) {
      pos = scanner.skip(pos, kWhiteSpace);
      if (pos == text.size()) return;
      const std::size_t end = scanner.skip_until(pos, kWhiteSpace);
      sink.piece(text.substr(pos, end - pos));
      pos = end;
    }
  }
};

class SpaceWords final : public PreTokenizer {
 public:
  void split(std::string_view text, PieceSink& sink) const override {
    static constexpr std::string_view kBlock = "\xe2\x96\x81";
    std::size_t begin = 0;
    while (begin < text.size()) {
      std::size_t pos = begin;
      while (text.substr(pos, 3) == kBlock) pos += 3;  // a run of blanks starts a word
      const std::size_t end = std::min(text.find(kBlock, pos), text.size());
      sink.piece(text.substr(begin, end - begin));
      begin = end;
    }
  }
};

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(std::vector<PreTokenizerPtr> stages) : stages_(std::move(stages)) {}
  void split(std::string_view text, PieceSink& sink) const override { run(0, text, sink); }

 private:
  struct Stage final : PieceSink {
    Stage(const Sequence& all, std::size_t at, PieceSink& out) : sequence(all), index(at), sink(out) {}
    void piece(std::string_view text) override { sequence.run(index, text, sink); }
    const Sequence& sequence;
    std::size_t index;
    PieceSink& sink;
  };

  void run(std::size_t index, std::string_view text, PieceSink& sink) const {
    if (index == stages_.size()) {
      if (!text.empty()) sink.piece(text);
      return;
    }
    Stage next(*this, index + 1, sink);
    stages_[index]->split(text, next);
  }

  std::vector<PreTokenizerPtr> stages_;
};

template <class Family>
PreTokenizerPtr family() {
  return std::make_unique<const FamilySplitter<Family>>();
}

PreTokenizerPtr deepseek_v3() {
  std::vector<PreTokenizerPtr> stages;
  stages.push_back(family<NumbersByThree>());
  stages.push_back(family<CjkRuns>());
  stages.push_back(family<DeepseekV3Words>());
  return make_sequence(std::move(stages));
}

}  // namespace

PreTokenizerPtr make_splitter(SplitFamily which) {
  switch (which) {
    case SplitFamily::kGpt2:
      return family<Gpt2>();
    case SplitFamily::kCl100k:
      return family<Cl100k<3, false, true>>();
    case SplitFamily::kLlama3:
      return family<Cl100k<3, false, false>>();
    case SplitFamily::kQwen2:
      return family<Cl100k<1, false, false>>();
    case SplitFamily::kQwen35:
      return family<Cl100k<1, true, false>>();
    case SplitFamily::kO200k:
      return family<O200k<3, true>>();
    case SplitFamily::kTekken:
      return family<O200k<1, false>>();
    case SplitFamily::kDeepseekV3:
      return deepseek_v3();
    case SplitFamily::kDigits:
      return family<SingleNumbers>();
    case SplitFamily::kPunctuation:
      return family<SinglePunctuation>();
    case SplitFamily::kWhiteSpaceDropped:
      return std::make_unique<const WhiteSpaceDropper>();
    case SplitFamily::kSpaceWords:
      return std::make_unique<const SpaceWords>();
  }
  return nullptr;
}

PreTokenizerPtr make_sequence(std::vector<PreTokenizerPtr> stages) {
  return std::make_unique<const Sequence>(std::move(stages));
}

}  // namespace maestrale::text
