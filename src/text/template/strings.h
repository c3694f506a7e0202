// Python's str, on UTF-8: positions and lengths count code points, "white space" and "letter" are Unicode's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace maestrale::text::jinja {

bool is_ascii_letter(char32_t c);
bool is_alphabetic(char32_t c);     // str.isalpha
bool is_name_continue(char32_t c);  // may follow in an identifier
bool is_space(char32_t c);          // str.isspace
bool is_numeric(char32_t c);        // str.isnumeric, less CJK numerals
bool is_upper(char32_t c);
bool is_lower(char32_t c);

// First byte at or after `from` that starts no white space.
std::size_t end_of_space(std::string_view text, std::size_t from);
// Length without the white space at the end.
std::size_t end_without_space(std::string_view text);

// text[at] is a backslash in a string literal: appends what it means and gives the position behind it.
Result<std::size_t> unescape(std::string_view text, std::size_t at, std::string& out);

std::size_t count_codepoints(std::string_view text);
// Byte offset of code point `index`, or the size if there are fewer.
std::size_t byte_offset(std::string_view text, std::size_t index);
// Each code point as its bytes.
std::vector<std::string_view> split_codepoints(std::string_view text);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_capitalized(std::string_view text);  // str.capitalize
std::string to_title(std::string_view text);        // str.title
std::string to_folded(std::string_view text);       // for case-insensitive comparison: lower case

// sides: 1 left, 2 right, 3 both. strip_chars strips any of the code points in `characters`.
std::string_view strip_space(std::string_view text, int sides);
std::string_view strip_chars(std::string_view text, std::string_view characters, int sides);

// str.split() on white space and str.split(separator); limit < 0 means all. From the right for rsplit.
std::vector<std::string_view> split_space(std::string_view text, std::int64_t limit);
std::vector<std::string_view> rsplit_space(std::string_view text, std::int64_t limit);
std::vector<std::string_view> split_on(std::string_view text, std::string_view separator, std::int64_t limit);
std::vector<std::string_view> rsplit_on(std::string_view text, std::string_view separator,
                                        std::int64_t limit);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

// Occurrences that do not overlap; an empty needle stands between all code points.
std::size_t count_occurrences(std::string_view text, std::string_view needle);
std::string replace_all(std::string_view text, std::string_view from, std::string_view to,
                        std::int64_t limit);

}  // namespace maestrale::text::jinja
