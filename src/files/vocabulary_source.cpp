#include "files/vocabulary_source.h"

#include <cstring>
#include <unordered_map>

#include "base/json.h"
#include "files/byte_reader.h"
#include "text/tokenizer/byte_alphabet.h"

namespace maestrale::files {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxVocabularyBytes = 256 << 20;
constexpr std::string_view kBlank = "\xe2\x96\x81";  // U+2581

enum TokenType : std::int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6 };

bool is_byte_piece(std::string_view piece) {
  return piece.size() == 6 && piece.starts_with("<0x") && piece.ends_with('>');
}

// One field of a protobuf message: varints as a number, the rest as bytes.
struct Field {
  std::uint64_t number = 0, value = 0;
  std::string_view bytes;
};

Result<std::uint64_t> varint(ByteReader& in) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = TRY(in.number<std::uint8_t>("a number"));
    value |= std::uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  return Error{.what = "a number is too long", .where = in.where()};
}

Result<Field> next_field(ByteReader& in) {
  const std::uint64_t tag = TRY(varint(in));
  Field field{tag >> 3, 0, {}};
  switch (tag & 7) {
    case 0:
      field.value = TRY(varint(in));
      return field;
    case 1:
      field.bytes = as_text(TRY(in.take(8, "a field")));
      return field;
    case 2:
      field.bytes = as_text(TRY(in.take(TRY(varint(in)), "a field")));
      return field;
    case 5:
      field.bytes = as_text(TRY(in.take(4, "a field")));
      return field;
    default:
      return Error{.what = "not a SentencePiece model", .where = in.where()};
  }
}

ByteReader reader_of(std::string_view bytes, const std::string& where) {
  return ByteReader({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, where);
}

Status read_piece(std::string_view message, const std::string& where, text::GgufVocabulary& out) {
  ByteReader in = reader_of(message, where);
  std::string piece;
  float score = 0;
  std::int32_t type = kNormal;
  while (in.remaining() > 0) {
    const Field field = TRY(next_field(in));
    if (field.number == 1) piece = field.bytes;
    if (field.number == 2 && field.bytes.size() == sizeof(score))
      std::memcpy(&score, field.bytes.data(), sizeof(score));
    if (field.number == 3) type = static_cast<std::int32_t>(field.value & 7);
  }
  out.tokens.push_back(std::move(piece));
  out.scores.push_back(score);
  out.token_types.push_back(type);
  return {};
}

Status read_settings(const Field& message, const std::string& where, text::GgufVocabulary& out) {
  ByteReader in = reader_of(message.bytes, where);
  while (in.remaining() > 0) {
    const Field field = TRY(next_field(in));
    if (message.number == 2 && field.number == 3 && field.value != 2) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "only SentencePiece models of kind BPE are carried over",
                   .where = where};
    }
    if (message.number == 3 && field.number == 3) out.add_space_prefix = field.value != 0;
  }
  return {};
}

// Which two earlier tokens a token was merged from: byte pair encoding with the ranks below its own.
std::pair<std::string, std::string> halves_of(const std::string& token, std::size_t rank,
                                              const std::unordered_map<std::string, std::size_t>& ranks) {
  std::vector<std::string> parts;
  for (const char byte : token) parts.emplace_back(1, byte);
  while (parts.size() > 2) {
    std::size_t best = rank, at = parts.size();
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks.find(parts[i] + parts[i + 1]);
      if (found == ranks.end() || found->second >= best) continue;
      best = found->second;
      at = i;
    }
    if (at == parts.size()) break;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  return parts.size() == 2 ? std::pair(parts[0], parts[1]) : std::pair<std::string, std::string>();
}

}  // namespace

Result<text::GgufVocabulary> vocabulary_from_sentencepiece(std::string_view proto, const std::string& where) {
  text::GgufVocabulary out;
  out.model = "llama";
  out.add_bos = true;
  out.add_space_prefix = true;
  ByteReader in = reader_of(proto, where);
  while (in.remaining() > 0) {
    const Field field = TRY(next_field(in));
    if (field.number == 1) TRY(read_piece(field.bytes, where, out));
    if (field.number == 2 || field.number == 3) TRY(read_settings(field, where, out));
  }
  for (std::size_t i = 0; i < out.tokens.size(); ++i) {
    const auto id = static_cast<std::int64_t>(i);
    if (out.token_types[i] == kUnknown) out.unknown = id;
    if (out.tokens[i] == "<s>") out.bos = id;
    if (out.tokens[i] == "</s>") out.eos = id;
  }
  return out;
}

Result<text::GgufVocabulary> vocabulary_from_tekken(std::string_view tekken_json, const std::string& where) {
  // The tokenizer knows the rules for lengths and special tokens; its bytes and order give tokens and merges.
  const text::TokenizerPtr tokenizer = TRY(text::tokenizer_from_tekken(tekken_json, where));
  text::GgufVocabulary out;
  out.model = "gpt2";
  out.pre = "tekken";
  out.bos = tokenizer->bos();
  out.unknown = tokenizer->unknown();
  out.padding = tokenizer->padding();
  if (!tokenizer->end_tokens().empty()) out.eos = tokenizer->end_tokens().front();
  out.add_bos = true;
  std::unordered_map<std::string, std::size_t> ranks;
  for (text::TokenId id = 0; id < tokenizer->size(); ++id) {
    const std::string bytes(tokenizer->bytes(id));
    const bool control = tokenizer->kind(id) == text::TokenKind::kControl;
    out.tokens.push_back(control ? bytes : text::encode_byte_alphabet(bytes));
    out.token_types.push_back(control ? kControl : kNormal);
    if (control) continue;
    const auto rank = static_cast<std::size_t>(id);
    const auto [left, right] = halves_of(bytes, rank, ranks);
    ranks.emplace(bytes, rank);
    if (!left.empty())
      out.merges.push_back(text::encode_byte_alphabet(left) + " " + text::encode_byte_alphabet(right));
  }
  return out;
}

Result<text::GgufVocabulary> vocabulary_from_llama2c(std::string_view bytes, std::int64_t vocab_size,
                                                     const std::string& where) {
  ByteReader in = reader_of(bytes, where);
  text::GgufVocabulary out;
  out.model = "llama";
  TRY(in.number<std::uint32_t>("the longest token's length"));
  for (std::int64_t id = 0; id < vocab_size; ++id) {
    out.scores.push_back(TRY(in.number<float>("a score")));
    std::string piece(as_text(TRY(in.take(TRY(in.number<std::uint32_t>("a length")), "a token"))));
    const bool control = id == 1 || id == 2;
    if (control) piece = id == 1 ? "<s>" : "</s>";
    std::string spelled;
    for (const char c : piece) c == ' ' ? spelled += kBlank : spelled += c;
    out.token_types.push_back(id == 0                ? kUnknown
                              : control              ? kControl
                              : is_byte_piece(piece) ? kByte
                                                     : kNormal);
    out.tokens.push_back(std::move(spelled));
  }
  out.unknown = 0;
  out.bos = 1;
  out.eos = 2;
  out.add_bos = true;
  out.add_space_prefix = true;
  return out;
}

Result<text::GgufVocabulary> vocabulary_of_folder(const fs::path& folder, Dialect dialect) {
  const auto read = [&](const fs::path& path) { return read_file(path, kMaxVocabularyBytes); };
  const fs::path hugging_face = folder / "tokenizer.json", tekken = folder / "tekken.json";
  fs::path pieces;
  for (const char* name : {"tokenizer.model", "tokenizer.model.v7", "tokenizer.model.v3",
                           "tokenizer.model.v2", "tokenizer.model.v1"}) {
    if (pieces.empty() && fs::exists(folder / name)) pieces = folder / name;
  }
  if (dialect == Dialect::kMistral && fs::exists(tekken))
    return vocabulary_from_tekken(TRY(read(tekken)), tekken.string());
  if (fs::exists(hugging_face)) {
    const fs::path config = folder / "tokenizer_config.json";
    const std::string settings = fs::exists(config) ? TRY(read(config)) : std::string();
    return vocabulary_from_json(TRY(read(hugging_face)), settings, hugging_face.string());
  }
  if (!pieces.empty()) return vocabulary_from_sentencepiece(TRY(read(pieces)), pieces.string());
  if (fs::exists(tekken)) return vocabulary_from_tekken(TRY(read(tekken)), tekken.string());
  return Error{
      .kind = ErrorKind::kNotFound, .what = "the folder holds no vocabulary", .where = folder.string()};
}

}  // namespace maestrale::files
