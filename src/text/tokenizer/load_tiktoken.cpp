// tiktoken rank files, Mistral's tekken.json, and the rank-ordered byte-level BPE that both describe.
#include <algorithm>
#include <charconv>
#include <optional>

#include "base/json.h"
#include "text/tokenizer/bpe.h"
#include "text/tokenizer/loading.h"

namespace maestrale::text {
namespace {

constexpr std::size_t kGapMax = 65536;  // ids may leave gaps, but not without bound

constexpr std::array<std::string_view, 3> kBosSpellings = {"<|begin_of_text|>", "<｜begin▁of▁sentence｜>",
                                                           "<s>"};
constexpr std::array<std::string_view, 4> kPaddingSpellings = {"<pad>", "<|finetune_right_pad_id|>",
                                                               "<|finetune_right_pad|>", "<｜▁pad▁｜>"};

struct Entry {
  std::string_view bytes;
  TokenKind kind = TokenKind::kUnused;
};

// Entries by id; gaps stay kUnused.
Result<std::vector<Entry>> by_id(const RankedData& data, const std::string& where) {
  std::vector<Entry> entries;
  const std::size_t limit = data.tokens.size() + data.specials.size() + kGapMax;
  const auto put = [&](const std::pair<std::string, TokenId>& token, TokenKind kind) -> Status {
    const auto id = static_cast<std::size_t>(std::max(token.second, 0));
    if (token.second < 0 || id >= limit) {
      return Error{.what = "a token's id is out of range",
                   .where = where,
                   .expected = "0 … " + std::to_string(limit - 1),
                   .found = std::to_string(token.second)};
    }
    if (id >= entries.size()) entries.resize(id + 1);
    if (kind == TokenKind::kControl &&
        entries[id].bytes == token.first) {  // rank files may hold the specials too
      entries[id].kind = kind;
      return {};
    }
    if (entries[id].kind != TokenKind::kUnused) {
      return Error{.what = "two tokens have one id", .where = where, .found = std::to_string(id)};
    }
    if (token.first.empty())
      return Error{.what = "an empty token", .where = where, .found = std::to_string(id)};
    entries[id] = {token.first, kind};
    return {};
  };
  for (const auto& token : data.tokens) TRY(put(token, TokenKind::kNormal));
  for (const auto& token : data.specials) TRY(put(token, TokenKind::kControl));
  return entries;
}

std::optional<TokenId> find_special(const TokenizerParts& parts,
                                    std::span<const std::string_view> spellings) {
  for (const std::string_view spelling : spellings) {
    if (const auto token = parts.specials.find(spelling)) return token;
  }
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<TokenizerParts>> ranked_parts(RankedData data, const std::string& where) {
  const std::vector<Entry> entries = TRY(by_id(data, where));
  auto parts = std::make_unique<TokenizerParts>();
  for (const Entry& entry : entries) {
    const TokenId token = parts->vocabulary.add(entry.bytes, entry.kind);
    if (entry.kind == TokenKind::kControl) parts->specials.add({std::string(entry.bytes), token});
  }
  PieceTable table(parts->vocabulary);
  BpeSettings settings{.rule = BpeSettings::Rule::kRanks, .whole_piece_first = true};
  settings.priorities.resize(entries.size());
  for (std::size_t id = 0; id < entries.size(); ++id) {
    settings.priorities[id] = static_cast<std::uint32_t>(id);
    if (entries[id].kind == TokenKind::kNormal && table.insert(static_cast<TokenId>(id)) != kNoToken) {
      return Error{
          .what = "two tokens have the same bytes", .where = where, .found = "id " + std::to_string(id)};
    }
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(static_cast<unsigned char>(byte));
    settings.byte_tokens[byte] = table.find(std::string_view(&c, 1));
  }
  parts->model =
      std::make_unique<const BpeModel>(parts->vocabulary, std::move(table), std::move(settings), nullptr);
  parts->pre_tokenizer = std::move(data.pre_tokenizer);
  parts->family = data.family;
  parts->bos = find_special(*parts, kBosSpellings);
  parts->padding = find_special(*parts, kPaddingSpellings);
  if (parts->bos) parts->prefix.push_back(*parts->bos);
  add_end_tokens_by_spelling(*parts);
  return parts;
}

Result<TokenizerPtr> tokenizer_from_tiktoken(std::string_view ranks, const TiktokenSpec& spec,
                                             const std::string& where) {
  RankedData data;
  data.family = "byte-bpe";
  for (std::size_t line = 1; !ranks.empty(); ++line) {
    const std::size_t end = std::min(ranks.find('\n'), ranks.size());
    std::string_view row = ranks.substr(0, end);
    ranks.remove_prefix(std::min(end + 1, ranks.size()));
    if (!row.empty() && row.back() == '\r') row.remove_suffix(1);
    if (row.empty()) continue;
    const std::string at = where + " line " + std::to_string(line);
    const std::size_t blank = std::min(row.find(' '), row.size());
    const std::string_view number = row.substr(std::min(blank + 1, row.size()));
    TokenId rank = -1;
    const auto [stop, code] = std::from_chars(number.data(), number.data() + number.size(), rank);
    if (code != std::errc() || stop != number.data() + number.size() || rank < 0 ||
        rank > std::numeric_limits<TokenId>::max() - std::max(spec.rank_offset, 0)) {
      return Error{.what = "not a rank file",
                   .where = at,
                   .expected = "base64, a blank, a rank",
                   .found = std::string(row)};
    }
    data.tokens.emplace_back(TRY(decode_base64(row.substr(0, blank), at)), rank + spec.rank_offset);
  }
  data.specials = spec.specials;
  data.pre_tokenizer = TRY(make_regex_splitter(spec.pattern, SplitBehavior::kIsolated, false, where));
  return finish(TRY(ranked_parts(std::move(data), where)));
}

namespace {

// Names of the first control tokens of files that have no list of their own (up to version v7).
constexpr std::array<std::string_view, 20> kTekkenSpecials = {"<unk>",
                                                              "<s>",
                                                              "</s>",
                                                              "[INST]",
                                                              "[/INST]",
                                                              "[AVAILABLE_TOOLS]",
                                                              "[/AVAILABLE_TOOLS]",
                                                              "[TOOL_RESULTS]",
                                                              "[/TOOL_RESULTS]",
                                                              "[TOOL_CALLS]",
                                                              "[IMG]",
                                                              "<pad>",
                                                              "[IMG_BREAK]",
                                                              "[IMG_END]",
                                                              "[PREFIX]",
                                                              "[MIDDLE]",
                                                              "[SUFFIX]",
                                                              "[SYSTEM_PROMPT]",
                                                              "[/SYSTEM_PROMPT]",
                                                              "[TOOL_CONTENT]"};
constexpr std::int64_t kSpecialsMax = 65536;

Status add_tekken_specials(const JsonFields& file, const std::string& version, std::int64_t count,
                           RankedData& data) {
  std::vector<std::string> names(static_cast<std::size_t>(count));
  if (file.has("special_tokens")) {
    for (const json::value& value : *TRY(file.array("special_tokens"))) {
      if (!value.is_object())
        return Error{.what = "special_tokens holds something else than objects", .where = file.where()};
      const JsonFields special(value.as_object(), file.where() + " special_tokens");
      const std::int64_t rank = TRY(special.integer("rank"));
      if (rank < 0 || rank >= count || !names[static_cast<std::size_t>(rank)].empty()) {
        return Error{.what = "a special token's rank is out of range or taken",
                     .where = special.where(),
                     .expected = "0 … " + std::to_string(count - 1),
                     .found = std::to_string(rank)};
      }
      names[static_cast<std::size_t>(rank)] = TRY(special.string("token_str"));
    }
  } else if (version == "v1" || version == "v2" || version == "v3" || version == "v7") {
    for (std::size_t i = 0; i < std::min(names.size(), kTekkenSpecials.size()); ++i)
      names[i] = kTekkenSpecials[i];
  } else {
    return Error{.what = "special_tokens is missing",
                 .where = file.where(),
                 .expected = "a list, as in every version after v7",
                 .found = "version '" + version + "'"};
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) names[i] = "<SPECIAL_" + std::to_string(i) + ">";
    data.specials.emplace_back(names[i], static_cast<TokenId>(i));
  }
  return {};
}

Status add_tekken_vocabulary(const JsonFields& file, std::int64_t size, std::int64_t specials,
                             RankedData& data) {
  const json::array* vocabulary = TRY(file.array("vocab"));
  const std::int64_t wanted = size - specials;
  if (wanted <= 0 || static_cast<std::uint64_t>(wanted) > vocabulary->size()) {
    return Error{
        .what = "the vocabulary is smaller than the file says",
        .where = file.where(),
        .expected = std::to_string(wanted) + " entries (default_vocab_size - default_num_special_tokens)",
        .found = std::to_string(vocabulary->size())};
  }
  for (const json::value& value : *vocabulary) {
    if (!value.is_object())
      return Error{.what = "vocab holds something else than objects", .where = file.where()};
    const JsonFields entry(value.as_object(), file.where() + " vocab");
    const std::int64_t rank = TRY(entry.integer("rank"));
    if (rank < 0 || static_cast<std::uint64_t>(rank) >= vocabulary->size()) {
      return Error{.what = "a rank is out of range", .where = entry.where(), .found = std::to_string(rank)};
    }
    if (rank >= wanted) continue;  // entries beyond default_vocab_size are not used
    data.tokens.emplace_back(TRY(decode_base64(TRY(entry.string("token_bytes")), entry.where())),
                             static_cast<TokenId>(rank + specials));
  }
  if (data.tokens.size() != static_cast<std::size_t>(wanted)) {
    return Error{.what = "ranks are missing or doubled",
                 .where = file.where(),
                 .expected = std::to_string(wanted) + " ranks",
                 .found = std::to_string(data.tokens.size())};
  }
  return {};
}

// {"reasoning_effort": {"type": "enum", "accepts_none": …, "values": […], "default": …}}, from v15 on.
Result<FormatFacts> tekken_facts(const JsonFields& file, const std::string& version) {
  FormatFacts facts{.version = version};
  if (!file.has("model_settings_builder")) return facts;
  const std::string where = file.where() + " model_settings_builder";
  const JsonFields settings(*TRY(file.object("model_settings_builder")), where);
  if (!settings.has("reasoning_effort")) return facts;
  const JsonFields effort(*TRY(settings.object("reasoning_effort")), where + ".reasoning_effort");
  if (effort.has("values")) {
    for (const json::value& value : *TRY(effort.array("values"))) {
      if (!value.is_string())
        return Error{.what = "a reasoning effort is not a string", .where = effort.where()};
      facts.reasoning_efforts.emplace_back(value.get_string());
    }
  }
  facts.default_reasoning_effort = TRY(effort.string_or("default", ""));
  facts.needs_reasoning_effort = !TRY(effort.boolean_or("accepts_none", true));
  return facts;
}

}  // namespace

Result<TokenizerPtr> tokenizer_from_tekken(std::string_view tekken_json, const std::string& where) {
  const json::value document = TRY(parse_json(tekken_json, where));
  if (!document.is_object())
    return Error{.what = "not a tekken.json", .where = where, .expected = "an object"};
  const JsonFields file(document.as_object(), where);
  const JsonFields config(*TRY(file.object("config")), where + " config");
  const std::int64_t size = TRY(config.integer("default_vocab_size"));
  const std::int64_t specials = TRY(config.integer("default_num_special_tokens"));
  if (specials < 0 || specials > kSpecialsMax || size > std::numeric_limits<TokenId>::max() ||
      size < specials) {
    return Error{.what = "impossible vocabulary sizes",
                 .where = config.where(),
                 .found = std::to_string(size) + " with " + std::to_string(specials) + " special tokens"};
  }
  RankedData data;
  data.family = "tekken";
  const std::string version = TRY(config.string_or("version", "v3"));
  TRY(add_tekken_specials(file, version, specials, data));
  TRY(add_tekken_vocabulary(file, size, specials, data));
  data.pre_tokenizer = TRY(
      make_regex_splitter(TRY(config.string("pattern")), SplitBehavior::kIsolated, false, config.where()));
  auto parts = TRY(ranked_parts(std::move(data), where));
  parts->unknown = parts->specials.find("<unk>");
  parts->format_facts = TRY(tekken_facts(file, version));
  return finish(std::move(parts));
}

}  // namespace maestrale::text
