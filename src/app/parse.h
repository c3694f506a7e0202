// What a person types as an option's value, read strictly: whole numbers without signs or bases that
// surprise, sizes, token lists. Every error names the option and shows the text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/tokenizer/tokenizer.h"

namespace maestrale::app {

Result<std::int64_t> parse_integer(std::string_view text, std::int64_t low, std::int64_t high,
                                   const std::string& where);
Result<std::uint64_t> parse_seed(std::string_view text, const std::string& where);
// A finite number in [low, high].
Result<double> parse_number(std::string_view text, double low, double high, const std::string& where);
// "8GB", "512 MiB", "1.5g", "2000000": bytes. K, M, G, T are powers of 1000, with an i of 1024.
Result<std::uint64_t> parse_size(std::string_view text, const std::string& where);
// "90s", "15m", "12h", "30d", "2w": seconds.
Result<std::int64_t> parse_duration(std::string_view text, const std::string& where);
// "2027-01-31" or "2027-01-31T12:00:00Z" (UTC), as seconds since 1970.
Result<std::int64_t> parse_date(std::string_view text, const std::string& where);
// "1,2,3" or "[1, 2, 3]"; at least one.
Result<std::vector<text::TokenId>> parse_tokens(std::string_view text, const std::string& where);
// "128,4096": whole numbers in [low, high].
Result<std::vector<std::int64_t>> parse_integers(std::string_view text, std::int64_t low, std::int64_t high,
                                                 const std::string& where);
// "ID=BIAS"; BIAS may be -inf, which forbids the token.
Result<std::pair<text::TokenId, double>> parse_bias(std::string_view text, const std::string& where);

}  // namespace maestrale::app
