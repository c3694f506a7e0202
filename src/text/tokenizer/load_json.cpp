// Hugging Face's tokenizer.json.
#include <algorithm>
#include <unordered_map>

#include "text/tokenizer/bpe.h"
#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/json_stages.h"
#include "text/tokenizer/loading.h"
#include "text/tokenizer/unigram.h"
#include "text/tokenizer/wordpiece.h"

namespace maestrale::text {
namespace {

constexpr std::int64_t kGapMax = 65536;

struct AddedToken {
  SpecialToken special;
  bool normalized = false;
};

// Everything of the file, before it becomes parts.
struct JsonTokenizer {
  std::vector<std::string> spelled;  // by id; empty: no such token
  std::vector<bool> in_model;
  std::vector<float> scores;  // unigram
  std::vector<AddedToken> added;
  PreTokenizerPlan pre;
  DecoderPlan decoder;
  bool byte_level = false;
};

Status put(JsonTokenizer& t, std::string_view spelling, std::int64_t id, std::size_t entries,
           const std::string& where) {
  if (id < 0 || id >= static_cast<std::int64_t>(entries) + kGapMax) {
    return Error{.what = "a token's id is out of range", .where = where, .found = std::to_string(id)};
  }
  const auto i = static_cast<std::size_t>(id);
  if (i >= t.spelled.size()) t.spelled.resize(i + 1);
  if (!t.spelled[i].empty() && t.spelled[i] != spelling) {
    return Error{.what = "two tokens have one id", .where = where, .found = std::to_string(id)};
  }
  t.spelled[i] = std::string(spelling);
  return {};
}

// {"piece": id, …}, or for unigram [["piece", score], …].
Status read_vocabulary(const JsonFields& model, std::size_t added, JsonTokenizer& t) {
  const json::value* vocab = model.find("vocab");
  if (vocab != nullptr && vocab->is_array()) {
    for (const json::value& value : vocab->as_array()) {
      const json::array* pair = value.if_array();
      if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_string() || !(*pair)[1].is_number()) {
        return Error{.what = "a vocabulary entry is not [piece, score]", .where = model.where()};
      }
      t.spelled.emplace_back((*pair)[0].as_string());
      t.scores.push_back((*pair)[1].to_number<float>());
    }
    t.in_model.assign(t.spelled.size(), true);
    return check_unique(t.spelled, model.where());
  }
  const json::object* object = TRY(model.object("vocab"));
  for (const auto& [piece, id] : *object) {
    if (!id.is_int64())
      return Error{
          .what = "a token's id is not a number", .where = model.where(), .found = std::string(piece)};
    TRY(put(t, piece, id.as_int64(), object->size() + added, model.where()));
  }
  t.in_model.resize(t.spelled.size());
  for (std::size_t i = 0; i < t.spelled.size(); ++i) t.in_model[i] = !t.spelled[i].empty();
  return {};
}

Status read_added(const json::array& list, const std::string& where, JsonTokenizer& t) {
  const std::size_t entries = t.spelled.size() + list.size();
  for (const json::value& value : list) {
    const JsonFields fields = TRY(fields_of(value, where + " added_tokens"));
    AddedToken added;
    added.special.spelling = TRY(fields.string("content"));
    const std::int64_t id = TRY(fields.integer("id"));
    added.special.control = TRY(fields.boolean_or("special", false));
    added.special.lstrip = TRY(fields.boolean_or("lstrip", false));
    added.special.rstrip = TRY(fields.boolean_or("rstrip", false));
    added.special.single_word = TRY(fields.boolean_or("single_word", false));
    added.normalized = TRY(fields.boolean_or("normalized", !added.special.control));
    if (added.special.spelling.empty())
      return Error{.what = "an added token is empty", .where = fields.where()};
    TRY(put(t, added.special.spelling, id, entries, fields.where()));
    added.special.token = static_cast<TokenId>(id);
    t.added.push_back(std::move(added));
  }
  t.in_model.resize(t.spelled.size());
  return {};
}

std::vector<TokenKind> kinds_of(const JsonTokenizer& t) {
  std::vector<TokenKind> kinds(t.spelled.size(), TokenKind::kNormal);
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (t.spelled[i].empty()) kinds[i] = TokenKind::kUnused;
    if (t.decoder.byte_fallback && byte_of_spelling(t.spelled[i])) kinds[i] = TokenKind::kByte;
  }
  for (const AddedToken& added : t.added) {
    kinds[static_cast<std::size_t>(added.special.token)] =
        added.special.control ? TokenKind::kControl : TokenKind::kUserDefined;
  }
  return kinds;
}

std::string bytes_in_text(const JsonTokenizer& t, std::size_t i, TokenKind kind) {
  const std::string& spelling = t.spelled[i];
  if (kind == TokenKind::kControl || kind == TokenKind::kUserDefined) return spelling;
  if (kind == TokenKind::kByte) return std::string(1, static_cast<char>(*byte_of_spelling(spelling)));
  if (t.byte_level) return decode_byte_alphabet(spelling).value_or(spelling);
  if (t.decoder.word_piece) {
    const std::string& prefix = t.decoder.continuing_prefix;
    const bool continues = !prefix.empty() && spelling.substr(0, prefix.size()) == prefix;
    return continues ? spelling.substr(prefix.size()) : " " + spelling;
  }
  std::string bytes = spelling;
  for (const auto& [from, to] : t.decoder.replacements) {
    if (!from.empty()) bytes = replace_all(bytes, from, to);
  }
  return bytes;
}

void add_tokens(const JsonTokenizer& t, TokenizerParts& parts) {
  const std::vector<TokenKind> kinds = kinds_of(t);
  const bool same = t.byte_level || t.decoder.word_piece;
  if (!same) parts.spelled.emplace();
  for (std::size_t i = 0; i < t.spelled.size(); ++i) {
    parts.vocabulary.add(bytes_in_text(t, i, kinds[i]), kinds[i]);
    if (!same) parts.spelled->add(t.spelled[i], kinds[i]);
  }
  for (const AddedToken& added : t.added) {
    SpecialToken special = added.special;
    if (added.normalized && parts.normalizer != nullptr) {
      special.spelling = parts.normalizer->apply(special.spelling, {});
      parts.normalized_specials.add(std::move(special));
    } else {
      parts.specials.add(std::move(special));
    }
  }
}

// Ids that the model itself may give.
std::vector<TokenId> model_tokens(const JsonTokenizer& t, const TokenizerParts& parts) {
  std::vector<TokenId> tokens;
  for (TokenId token = 0; token < parts.vocabulary.size(); ++token) {
    const TokenKind kind = parts.vocabulary.kind(token);
    const bool usable = kind == TokenKind::kNormal || kind == TokenKind::kUserDefined;
    if (usable && t.in_model[static_cast<std::size_t>(token)]) tokens.push_back(token);
  }
  return tokens;
}

Result<TokenId> unknown_of(const JsonFields& model, const JsonTokenizer& t) {
  if (model.has("unk_id")) {
    const std::int64_t id = TRY(model.integer("unk_id"));
    TRY(check_token(id, t.spelled.size(), "unk_id", model.where()));
    return static_cast<TokenId>(id);
  }
  if (!model.has("unk_token")) return kNoToken;
  const std::string spelling = TRY(model.string("unk_token"));
  const auto at = std::find(t.spelled.begin(), t.spelled.end(), spelling);
  return at == t.spelled.end() ? kNoToken : static_cast<TokenId>(at - t.spelled.begin());
}

std::array<TokenId, 256> byte_tokens(const TokenizerParts& parts, const PieceTable& table, bool byte_level) {
  std::array<TokenId, 256> tokens{};
  tokens.fill(kNoToken);
  if (byte_level) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(static_cast<unsigned char>(byte));
      tokens[byte] = table.find(std::string_view(&c, 1));
    }
    return tokens;
  }
  for (TokenId token = 0; token < parts.vocabulary.size(); ++token) {
    const auto byte = byte_of_spelling(parts.spellings().bytes(token));
    if (byte) tokens[*byte] = token;
  }
  return tokens;
}

// One merge is "left right" or ["left", "right"].
Status add_merge(const json::value& value, std::uint32_t rank, bool byte_level, const PieceTable& table,
                 const std::string& where, PairTable& pairs) {
  std::string left, right;
  if (const json::array* pair = value.if_array();
      pair != nullptr && pair->size() == 2 && (*pair)[0].is_string() && (*pair)[1].is_string()) {
    left = std::string((*pair)[0].as_string());
    right = std::string((*pair)[1].as_string());
  } else if (const json::string* text = value.if_string()) {
    const std::size_t blank = std::min(text->find(' ', 1), text->size());
    left = std::string(text->subview(0, blank));
    right = blank < text->size() ? std::string(text->subview(blank + 1)) : std::string();
  }
  const std::string shown = left + " " + right;
  if (byte_level) {
    left = decode_byte_alphabet(left).value_or(left);
    right = decode_byte_alphabet(right).value_or(right);
  }
  const TokenId a = table.find(left);
  const TokenId b = table.find(right);
  const TokenId joined = table.find(left + right);
  if (left.empty() || right.empty() || a == kNoToken || b == kNoToken || joined == kNoToken) {
    return Error{.what = "a merge names pieces that are not in the vocabulary",
                 .where = where,
                 .found = "'" + shown + "' at rank " + std::to_string(rank)};
  }
  pairs.insert(a, b, {rank, joined});
  return {};
}

Result<std::unique_ptr<const Model>> bpe(const JsonFields& model, const JsonTokenizer& t,
                                         const TokenizerParts& parts) {
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!TRY(model.string_or(key, "")).empty())
      return unsupported_component("BPE option", key, model.where());
  }
  if (TRY(model.number_or("dropout", 0.0)) != 0.0)
    return unsupported_component("BPE option", "dropout", model.where());
  PieceTable table(parts.spellings());
  for (const TokenId token : model_tokens(t, parts)) table.insert(token);
  const json::array* merges = TRY(model.array("merges"));
  auto pairs = std::make_unique<PairTable>(merges->size());
  for (std::size_t rank = 0; rank < merges->size(); ++rank) {
    TRY(add_merge((*merges)[rank], static_cast<std::uint32_t>(rank), t.byte_level, table, model.where(),
                  *pairs));
  }
  const bool whole_piece_first = TRY(model.boolean_or("ignore_merges", false));
  const bool byte_fallback = TRY(model.boolean_or("byte_fallback", false));
  const bool fuse_unknown = TRY(model.boolean_or("fuse_unk", false));
  const auto unknown = TRY(unknown_of(model, t));
  BpeSettings settings{.rule = BpeSettings::Rule::kMerges,
                       .characters = !t.byte_level,
                       .whole_piece_first = whole_piece_first,
                       .byte_fallback = byte_fallback,
                       .fuse_unknown = fuse_unknown,
                       .unknown = unknown,
                       .byte_tokens = byte_tokens(parts, table, t.byte_level)};
  return std::unique_ptr<const Model>(std::make_unique<const BpeModel>(
      parts.spellings(), std::move(table), std::move(settings), std::move(pairs)));
}

Result<std::unique_ptr<const Model>> unigram(const JsonFields& model, JsonTokenizer& t,
                                             const TokenizerParts& parts) {
  TRY(priorities_by_score(t.scores, model.where()));  // checks the numbers
  if (t.scores.empty())
    return Error{.what = "a unigram model needs [piece, score] entries", .where = model.where()};
  t.scores.resize(t.spelled.size());
  const PieceTable none(parts.spellings());
  const auto unknown = TRY(unknown_of(model, t));
  const bool byte_fallback = TRY(model.boolean_or("byte_fallback", false));
  UnigramSettings settings{.scores = t.scores,
                           .unknown = unknown,
                           .byte_fallback = byte_fallback,
                           .byte_tokens = byte_tokens(parts, none, false)};
  return std::unique_ptr<const Model>(
      std::make_unique<const UnigramModel>(parts.spellings(), model_tokens(t, parts), std::move(settings)));
}

Result<std::unique_ptr<const Model>> word_piece(const JsonFields& model, const JsonTokenizer& t,
                                                const TokenizerParts& parts) {
  const std::int64_t most = TRY(model.integer_or("max_input_chars_per_word", 100));
  return std::unique_ptr<const Model>(std::make_unique<const WordPieceModel>(
      parts.vocabulary, model_tokens(t, parts), TRY(unknown_of(model, t)),
      static_cast<std::size_t>(std::max<std::int64_t>(most, 1))));
}

Result<std::string> model_type(const JsonFields& model) {
  if (model.has("type")) return model.string("type");
  if (model.has("merges")) return std::string("BPE");  // files of old versions name no type
  return std::string(model.has("unk_id") ? "Unigram" : "WordPiece");
}

// bos_token and the like: a string, or an object with "content".
std::optional<TokenId> configured_token(const JsonFields& config, std::string_view key,
                                        const TokenizerParts& parts) {
  const json::value* value = config.find(key);
  if (value != nullptr && value->is_object()) value = value->as_object().if_contains("content");
  if (value == nullptr || !value->is_string()) return std::nullopt;
  const std::string_view spelling = value->as_string();
  if (const auto token = parts.specials.find(spelling)) return token;
  return parts.normalized_specials.find(spelling);
}

Status apply_config(const json::value& document, const std::string& where, TokenizerParts& parts) {
  const JsonFields config = TRY(fields_of(document, where + " (tokenizer_config)"));
  const auto bos = configured_token(config, "bos_token", parts);
  const auto eos = configured_token(config, "eos_token", parts);
  if (bos) parts.bos = bos;
  if (const auto padding = configured_token(config, "pad_token", parts)) parts.padding = padding;
  if (const auto unknown = configured_token(config, "unk_token", parts)) parts.unknown = unknown;
  add_end_token(parts, eos);
  if (bos && config.has("add_bos_token")) {
    const bool wanted = TRY(config.boolean_or("add_bos_token", false));
    std::erase(parts.prefix, *bos);
    if (wanted) parts.prefix.insert(parts.prefix.begin(), *bos);
  }
  if (eos && config.has("add_eos_token")) {
    const bool wanted = TRY(config.boolean_or("add_eos_token", false));
    std::erase(parts.suffix, *eos);
    if (wanted) parts.suffix.push_back(*eos);
  }
  return {};
}

Status set_model(const JsonFields& model, JsonTokenizer& t, TokenizerParts& parts) {
  const std::string type = TRY(model_type(model));
  if (type == "BPE") {
    parts.model = TRY(bpe(model, t, parts));
    parts.family = t.byte_level ? "byte-bpe" : "sentencepiece-bpe";
  } else if (type == "Unigram") {
    parts.model = TRY(unigram(model, t, parts));
    parts.family = "unigram";
  } else {
    parts.model = TRY(word_piece(model, t, parts));
    parts.family = "wordpiece";
  }
  const TokenId unknown = TRY(unknown_of(model, t));
  if (unknown != kNoToken) parts.unknown = unknown;
  return {};
}

Status set_ends(const JsonFields& file, TokenizerParts& parts) {
  const json::value* processor = file.find("post_processor");
  PostPlan post = TRY(read_post_processor(processor != nullptr ? *processor : json::value(),
                                          file.where() + " post_processor"));
  for (const std::vector<TokenId>* ids : {&post.prefix, &post.suffix}) {
    for (const TokenId id : *ids) {
      TRY(check_token(id, static_cast<std::size_t>(parts.vocabulary.size()), "a post_processor's token",
                      file.where()));
    }
  }
  parts.prefix = std::move(post.prefix);
  parts.suffix = std::move(post.suffix);
  if (!parts.prefix.empty()) parts.bos = parts.prefix.front();
  return {};
}

}  // namespace

Result<TokenizerPtr> tokenizer_from_json(std::string_view tokenizer_json, std::string_view config_json,
                                         const std::string& where) {
  const json::value document = TRY(parse_json(tokenizer_json, where));
  const JsonFields file = TRY(fields_of(document, where));
  const JsonFields model(*TRY(file.object("model")), where + " model");
  const auto part = [&](std::string_view key) {
    const json::value* value = file.find(key);
    return value != nullptr ? *value : json::value();
  };
  const std::string type = TRY(model_type(model));
  if (type != "BPE" && type != "Unigram" && type != "WordPiece") {
    return unsupported_component("model", type, model.where());
  }
  static const json::array kNone;
  const json::array& added = file.has("added_tokens") ? *TRY(file.array("added_tokens")) : kNone;
  JsonTokenizer t;
  auto parts = std::make_unique<TokenizerParts>();
  parts->normalizer = TRY(read_normalizer(part("normalizer"), where + " normalizer"));
  t.pre = TRY(read_pre_tokenizer(part("pre_tokenizer"), where + " pre_tokenizer"));
  t.decoder = TRY(read_decoder(part("decoder"), where + " decoder"));
  t.decoder.word_piece = type == "WordPiece";
  if (type == "WordPiece")
    t.decoder.continuing_prefix = TRY(model.string_or("continuing_subword_prefix", "##"));
  t.byte_level = type == "BPE" && (t.pre.byte_level || t.decoder.byte_level);
  TRY(read_vocabulary(model, added.size(), t));
  TRY(read_added(added, where, t));
  if (t.spelled.empty()) return Error{.what = "the vocabulary is empty", .where = where};
  add_tokens(t, *parts);
  TRY(set_model(model, t, *parts));
  parts->rewriter = std::move(t.pre.rewriter);
  parts->pre_tokenizer = std::move(t.pre.splitter);
  parts->strip_leading_space = t.decoder.strip_leading_space || t.decoder.word_piece;
  TRY(set_ends(file, *parts));
  if (!config_json.empty()) TRY(apply_config(TRY(parse_json(config_json, where)), where, *parts));
  add_end_tokens_by_spelling(*parts);
  return finish(std::move(parts));
}

}  // namespace maestrale::text
