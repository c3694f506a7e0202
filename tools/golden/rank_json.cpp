#include "rank_json.h"

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <unordered_map>
#include <vector>

#include "base/utf8.h"

namespace maestrale::golden {
namespace {

using Ranks = std::unordered_map<std::string, std::int64_t>;

std::string from_base64(std::string_view text) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) break;  // padding
    bits = (bits << 6) | static_cast<std::uint32_t>(digit);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>((bits >> held) & 0xffu);
  }
  return bytes;
}

// GPT-2's printable stand-ins for bytes, in which tokenizer.json writes byte-level vocabularies.
std::string printable(std::string_view bytes) {
  static const auto kTable = [] {
    std::array<char32_t, 256> table{};
    char32_t next = 256;
    for (char32_t byte = 0; byte < 256; ++byte) {
      const bool shown = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
      table[byte] = shown ? byte : next++;
    }
    return table;
  }();
  std::string text;
  for (const char byte : bytes) append_utf8(text, kTable[static_cast<unsigned char>(byte)]);
  return text;
}

Result<std::vector<std::string>> tokens_by_rank(std::string_view lines, const std::string& where) {
  std::vector<std::string> tokens;
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    const std::size_t space = line.find(' ');
    if (line.empty()) continue;
    std::size_t rank = 0;
    const char* last = line.data() + line.size();
    if (space == line.npos || std::from_chars(line.data() + space + 1, last, rank).ec != std::errc{} ||
        rank != tokens.size()) {
      return Error{.what = "not a line of consecutive ranks", .where = where, .found = std::string(line)};
    }
    tokens.push_back(from_base64(line.substr(0, space)));
  }
  return tokens;
}

// The two parts of `token` that byte-pair encoding by the ranks below its own ends with.
std::vector<std::string> last_two_parts(const std::string& token, std::int64_t rank, const Ranks& ranks) {
  std::vector<std::string> parts;
  for (const char byte : token) parts.emplace_back(1, byte);
  while (parts.size() > 2) {
    std::int64_t best = rank;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks.find(parts[i] + parts[i + 1]);
      if (found == ranks.end() || found->second >= best) continue;
      best = found->second;
      at = i;
    }
    if (best == rank) break;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  return parts;
}

json::array added_tokens(const json::object& specials) {
  json::array added;
  for (const auto& [spelling, id] : specials) {
    added.push_back(json::object{{"id", id},
                                 {"content", spelling},
                                 {"single_word", false},
                                 {"lstrip", false},
                                 {"rstrip", false},
                                 {"normalized", false},
                                 {"special", true}});
  }
  return added;
}

}  // namespace

Result<std::string> tokenizer_json_from_ranks(std::string_view lines, const JsonFields& case_file) {
  const std::vector<std::string> tokens = TRY(tokens_by_rank(lines, case_file.where()));
  const json::value* listed = case_file.find("special_tokens");
  const json::object specials =
      listed != nullptr && listed->is_object() ? listed->get_object() : json::object{};
  Ranks ranks;
  for (std::size_t rank = 0; rank < tokens.size(); ++rank)
    ranks.emplace(tokens[rank], static_cast<std::int64_t>(rank));
  json::object vocabulary;
  json::array merges;
  for (std::size_t rank = 0; rank < tokens.size(); ++rank) {
    const bool special = specials.contains(tokens[rank]);
    vocabulary[special ? tokens[rank] : printable(tokens[rank])] = rank;
    if (special || tokens[rank].size() < 2) continue;
    const auto parts = last_two_parts(tokens[rank], static_cast<std::int64_t>(rank), ranks);
    if (parts.size() == 2) merges.push_back(json::value(printable(parts[0]) + " " + printable(parts[1])));
  }
  json::object model{{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", std::move(merges)}};
  return json::serialize(json::object{{"version", "1.0"},
                                      {"added_tokens", added_tokens(specials)},
                                      {"normalizer", nullptr},
                                      {"pre_tokenizer", *case_file.find("pre_tokenizer")},
                                      {"post_processor", nullptr},
                                      {"decoder", {{"type", "ByteLevel"}}},
                                      {"model", std::move(model)}});
}

}  // namespace maestrale::golden
