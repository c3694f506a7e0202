#include "text/tokenizer/loading.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_set>

namespace maestrale::text {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

}  // namespace

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (std::size_t at = text.find(from); at != std::string_view::npos; at = text.find(from)) {
    out.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
  }
  return out.append(text);
}

std::optional<unsigned char> byte_of_spelling(std::string_view s) {
  if (s.size() != 6 || s.substr(0, 3) != "<0x" || s[5] != '>') return std::nullopt;
  const int high = hex_digit(s[3]);
  const int low = hex_digit(s[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<unsigned char>(high * 16 + low);
}

Result<std::string> decode_base64(std::string_view text, const std::string& where) {
  const std::size_t digits = std::min(text.find('='), text.size());
  std::string out;
  out.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  int held = 0;
  bool good = text.size() % 4 == 0 && text.size() - digits <= 2;
  for (std::size_t i = 0; i < text.size() && good; ++i) {
    const int digit = base64_digit(text[i]);
    good = i < digits ? digit >= 0 : text[i] == '=';
    if (i >= digits || !good) continue;
    bits = (bits << 6) | static_cast<std::uint32_t>(digit);
    held += 6;
    if (held >= 8) {
      held -= 8;
      out += static_cast<char>(static_cast<unsigned char>((bits >> held) & 0xff));
    }
  }
  if (!good) return Error{.what = "not valid base64", .where = where, .found = std::string(text)};
  return out;
}

Status check_unique(const std::vector<std::string>& pieces, const std::string& where) {
  std::unordered_set<std::string_view> seen;
  seen.reserve(pieces.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (seen.insert(pieces[i]).second) continue;
    return Error{.what = "two tokens are spelled alike",
                 .where = where,
                 .found = "'" + pieces[i] + "' again at id " + std::to_string(i)};
  }
  return {};
}

Status check_token(std::optional<std::int64_t> token, std::size_t size, std::string_view name,
                   const std::string& where) {
  if (!token || (*token >= 0 && static_cast<std::uint64_t>(*token) < size)) return {};
  return Error{.what = std::string(name) + " is not in the vocabulary",
               .where = where,
               .expected = "an id below " + std::to_string(size),
               .found = std::to_string(*token)};
}

Result<std::vector<std::uint32_t>> priorities_by_score(const std::vector<float>& scores,
                                                       const std::string& where) {
  const auto bad = std::find_if(scores.begin(), scores.end(), [](float s) { return !std::isfinite(s); });
  if (bad != scores.end()) {
    return Error{.what = "a token's score is not a finite number",
                 .where = where,
                 .found = "token " + std::to_string(bad - scores.begin())};
  }
  std::vector<std::uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return scores[a] > scores[b]; });
  std::vector<std::uint32_t> priorities(scores.size());
  std::uint32_t next = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && scores[order[i]] < scores[order[i - 1]]) ++next;
    priorities[order[i]] = next;
  }
  return priorities;
}

bool splits_at_blanks(const Vocabulary& spelled) {
  for (TokenId token = 0; token < spelled.size(); ++token) {
    const TokenKind kind = spelled.kind(token);
    if (kind != TokenKind::kNormal && kind != TokenKind::kUnused) continue;
    std::string_view piece = spelled.bytes(token);
    while (piece.substr(0, kBlankBlock.size()) == kBlankBlock) piece.remove_prefix(kBlankBlock.size());
    if (piece.find(kBlankBlock) != std::string_view::npos) return false;
  }
  return true;
}

}  // namespace maestrale::text
