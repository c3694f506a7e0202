#define PCRE2_CODE_UNIT_WIDTH 8
#include "grammar/pattern.h"

#include <pcre2.h>

#include "grammar/regex.h"

namespace maestrale::grammar {
namespace {

constexpr std::uint32_t kMatchLimit = 1'000'000;
constexpr std::uint32_t kHeapKilobytes = 20'000;

// PCRE2 knows Unicode's categories by their short names only.
std::string with_short_names(std::string_view expression) {
  std::string out;
  for (std::size_t i = 0; i < expression.size(); ++i) {
    out += expression[i];
    if (expression[i] != '\\' || i + 1 == expression.size()) continue;
    out += expression[++i];
    const std::size_t close = expression.find('}', i);
    const bool property =
        (expression[i] == 'p' || expression[i] == 'P') && expression.substr(i + 1).starts_with('{');
    if (!property || close == std::string_view::npos) continue;
    out += '{';
    out += short_property_name(expression.substr(i + 2, close - i - 2));
    out += '}';
    i = close;
  }
  return out;
}

}  // namespace

void Pattern::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

Result<Pattern> Pattern::make(std::string_view expression, const std::string& where) {
  const std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  pcre2_set_compile_extra_options(context.get(), PCRE2_EXTRA_ALT_BSUX);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_ANYCRLF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  constexpr std::uint32_t kOptions = PCRE2_UTF | PCRE2_ALT_BSUX | PCRE2_DOLLAR_ENDONLY |
                                     PCRE2_MATCH_UNSET_BACKREF | PCRE2_ALLOW_EMPTY_CLASS |
                                     PCRE2_NEVER_BACKSLASH_C;
  Pattern pattern;
  const std::string text = with_short_names(expression);
  pattern.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), kOptions, &error,
                                    &offset, context.get()));
  if (pattern.code_ == nullptr) {
    PCRE2_UCHAR message[120] = {};
    pcre2_get_error_message(error, message, sizeof message);
    return Error{.what = std::string("not a regular expression: ") + reinterpret_cast<const char*>(message),
                 .where = where + " at byte " + std::to_string(offset),
                 .found = std::string(expression)};
  }
  return pattern;
}

Pattern::Found Pattern::search(std::string_view text) const {
  const std::unique_ptr<pcre2_match_context, void (*)(pcre2_match_context*)> context(
      pcre2_match_context_create(nullptr), pcre2_match_context_free);
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_heap_limit(context.get(), kHeapKilobytes);
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data(
      pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0,
                                data.get(), context.get());
  if (found >= 0) return Found::kYes;
  return found == PCRE2_ERROR_NOMATCH ? Found::kNo : Found::kTooMuchWork;
}

}  // namespace maestrale::grammar
