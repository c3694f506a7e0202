// Splitters by regular expression (PCRE2, compiled to machine code) or by a fixed string.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "base/utf8.h"
#include "text/tokenizer/pretokenizer.h"

namespace maestrale::text {
namespace {

// Every part of the text is a match or lies between two matches.
struct Part {
  std::string_view text;
  bool match = false;
};

class Behaviour {
 public:
  Behaviour(SplitBehavior behavior, bool invert, PieceSink& sink)
      : behavior_(behavior), invert_(invert), sink_(sink) {}

  void add(Part part) {
    if (part.text.empty()) return;
    const bool match = part.match != invert_;
    if (behavior_ == SplitBehavior::kIsolated) return emit(part.text);
    if (behavior_ == SplitBehavior::kRemoved) return match ? void() : emit(part.text);
    const bool joins = behavior_ == SplitBehavior::kContiguous ? !held_.empty() && match == held_match_
                       : behavior_ == SplitBehavior::kMergedWithPrevious
                           ? match && !held_.empty() && !held_match_
                           : !held_.empty() && held_match_ && !match;
    if (joins) {
      held_ = std::string_view(held_.data(), held_.size() + part.text.size());
    } else {
      finish();
      held_ = part.text;
    }
    held_match_ = match;
  }
  void finish() {
    if (!held_.empty()) emit(held_);
    held_ = {};
  }

 private:
  void emit(std::string_view text) { sink_.piece(text); }

  SplitBehavior behavior_;
  bool invert_;
  PieceSink& sink_;
  std::string_view held_;
  bool held_match_ = false;
};

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeStack {
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};
using CodePtr = std::unique_ptr<pcre2_code, FreeCode>;

constexpr std::size_t kStackMin = 32 * 1024;
constexpr std::size_t kStackMax = 4 * 1024 * 1024;
constexpr std::uint32_t kMatchLimit = 5'000'000;

// What one call needs to match; PCRE2's compiled code itself is shared.
struct Matcher {
  explicit Matcher(const pcre2_code* code)
      : data(pcre2_match_data_create_from_pattern(code, nullptr)),
        context(pcre2_match_context_create(nullptr)),
        stack(pcre2_jit_stack_create(kStackMin, kStackMax, nullptr)) {
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
    pcre2_set_match_limit(context.get(), kMatchLimit);
  }
  std::unique_ptr<pcre2_match_data, FreeMatch> data;
  std::unique_ptr<pcre2_match_context, FreeContext> context;
  std::unique_ptr<pcre2_jit_stack, FreeStack> stack;
};

class RegexSplitter final : public PreTokenizer {
 public:
  RegexSplitter(CodePtr code, SplitBehavior behavior, bool invert)
      : code_(std::move(code)), behavior_(behavior), invert_(invert) {}

  void split(std::string_view text, PieceSink& sink) const override {
    Behaviour behaviour(behavior_, invert_, sink);
    Matcher matcher(code_.get());
    while (!text.empty()) {  // expressions see valid UTF-8 only; other bytes stay between matches
      const std::size_t valid = std::min(find_invalid_utf8(text), text.size());
      split_valid(text.substr(0, valid), matcher, behaviour);
      text.remove_prefix(valid);
      std::size_t invalid = 0;
      while (invalid < text.size()) {
        const DecodedCodepoint c = decode_utf8(text.substr(invalid));
        if (c.valid) break;
        invalid += static_cast<std::size_t>(c.length);
      }
      behaviour.add({text.substr(0, invalid), false});
      text.remove_prefix(invalid);
    }
    behaviour.finish();
  }

 private:
  void split_valid(std::string_view text, const Matcher& matcher, Behaviour& behaviour) const {
    std::size_t done = 0;
    for (std::size_t pos = 0; pos < text.size();) {
      const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), pos,
                                    PCRE2_NO_UTF_CHECK, matcher.data.get(), matcher.context.get());
      if (found < 0) break;  // no further match, or the expression's own limits: the rest is one part
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(matcher.data.get());
      if (range[1] <= range[0]) {  // an empty match cuts nothing
        pos = range[0] >= text.size()
                  ? text.size()
                  : range[0] + static_cast<std::size_t>(decode_utf8(text.substr(range[0])).length);
        continue;
      }
      behaviour.add({text.substr(done, range[0] - done), false});
      behaviour.add({text.substr(range[0], range[1] - range[0]), true});
      done = pos = range[1];
    }
    behaviour.add({text.substr(done), false});
  }

  CodePtr code_;
  SplitBehavior behavior_;
  bool invert_;
};

class LiteralSplitter final : public PreTokenizer {
 public:
  LiteralSplitter(std::string pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void split(std::string_view text, PieceSink& sink) const override {
    Behaviour behaviour(behavior_, invert_, sink);
    while (!pattern_.empty()) {
      const std::size_t at = text.find(pattern_);
      if (at == std::string_view::npos) break;
      behaviour.add({text.substr(0, at), false});
      behaviour.add({text.substr(at, pattern_.size()), true});
      text.remove_prefix(at + pattern_.size());
    }
    behaviour.add({text, false});
    behaviour.finish();
  }

 private:
  std::string pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

// PCRE2's \s has U+180E, which is not white space in today's Unicode; so \s and \S are written out.
std::string spell_out_white_space(std::string_view pattern) {
  constexpr std::string_view kSpaces =
      "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{"
      "3000}";
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (escaped == 's') {
        out += in_class ? std::string(kSpaces) : "[" + std::string(kSpaces) + "]";
      } else if (escaped == 'S' && !in_class) {
        out += "[^" + std::string(kSpaces) + "]";
      } else {
        out += {'\\', escaped};
      }
      continue;
    }
    if (c == '[' && !in_class) {
      in_class = true;
    } else if (c == ']' && in_class) {
      in_class = false;
    }
    out += c;
  }
  return out;
}

struct Known {
  std::string_view pattern;
  SplitFamily family;
};

constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kO200kPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekkenPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kCl100kPattern =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)";
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kR50kPattern =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)";

constexpr std::array<Known, 9> kKnown = {{{kLlama3Pattern, SplitFamily::kLlama3},
                                          {kQwen2Pattern, SplitFamily::kQwen2},
                                          {kQwen35Pattern, SplitFamily::kQwen35},
                                          {kO200kPattern, SplitFamily::kO200k},
                                          {kTekkenPattern, SplitFamily::kTekken},
                                          {kCl100kPattern, SplitFamily::kCl100k},
                                          {kGpt2Pattern, SplitFamily::kGpt2},
                                          {kR50kPattern, SplitFamily::kGpt2},
                                          {R"(\p{N})", SplitFamily::kDigits}}};

}  // namespace

Result<PreTokenizerPtr> make_regex_splitter(const std::string& pattern, SplitBehavior behavior, bool invert,
                                            const std::string& where) {
  if (behavior == SplitBehavior::kIsolated) {  // inverted or not, every part is a piece
    for (const Known& known : kKnown) {
      if (known.pattern == pattern) return make_splitter(known.family);
    }
  }
  const std::string spelled = spell_out_white_space(pattern);
  int code = 0;
  PCRE2_SIZE offset = 0;
  CodePtr compiled(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(spelled.data()), spelled.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C,
                                 &code, &offset, nullptr));
  if (compiled == nullptr) {
    std::array<unsigned char, 160> message{};
    pcre2_get_error_message(code, message.data(), message.size());
    return Error{.what = std::string("the pre-tokenizer's regular expression does not compile: ") +
                         reinterpret_cast<const char*>(message.data()),
                 .where = where,
                 .found = pattern};
  }
  pcre2_jit_compile(compiled.get(),
                    PCRE2_JIT_COMPLETE);  // without it the interpreter runs: slower, same matches
  return PreTokenizerPtr(std::make_unique<const RegexSplitter>(std::move(compiled), behavior, invert));
}

PreTokenizerPtr make_literal_splitter(std::string pattern, SplitBehavior behavior, bool invert) {
  return std::make_unique<const LiteralSplitter>(std::move(pattern), behavior, invert);
}

}  // namespace maestrale::text
