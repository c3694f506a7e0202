// SentencePiece's ModelProto (protobuf wire format, read by hand) and llama2.c's tokenizer.bin.
#include <algorithm>
#include <cstring>

#include "text/tokenizer/loading.h"

namespace maestrale::text {
namespace {

struct Field {
  std::uint32_t number = 0;
  std::uint64_t value = 0;      // varint and fixed fields
  std::string_view bytes = {};  // length-delimited fields
};

class ProtoReader {
 public:
  ProtoReader(std::string_view bytes, std::string where) : rest_(bytes), where_(std::move(where)) {}

  bool done() const { return rest_.empty(); }
  Result<Field> next() {
    const std::uint64_t key = TRY(varint());
    Field field{static_cast<std::uint32_t>(key >> 3), 0, {}};
    switch (key & 7) {
      case 0:
        field.value = TRY(varint());
        return field;
      case 1:
        field.value = TRY(fixed(8));
        return field;
      case 2: {
        const std::uint64_t size = TRY(varint());
        if (size > rest_.size()) return damaged();
        field.bytes = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return field;
      }
      case 5:
        field.value = TRY(fixed(4));
        return field;
      default:
        return damaged();
    }
  }

 private:
  Error damaged() const {
    return Error{.what = "the SentencePiece model is damaged or cut short",
                 .where = where_,
                 .found = std::to_string(rest_.size()) + " bytes before the end"};
  }
  Result<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 10 && i < rest_.size(); ++i) {
      const auto byte = static_cast<unsigned char>(rest_[i]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << (7 * i);
      if ((byte & 0x80) != 0) continue;
      rest_.remove_prefix(i + 1);
      return value;
    }
    return damaged();
  }
  Result<std::uint64_t> fixed(std::size_t size) {
    if (rest_.size() < size) return damaged();
    std::uint64_t value = 0;
    std::memcpy(&value, rest_.data(), size);
    rest_.remove_prefix(size);
    return value;
  }

  std::string_view rest_;
  std::string where_;
};

float as_float(std::uint64_t bits) {
  const auto word = static_cast<std::uint32_t>(bits);
  float value = 0;
  std::memcpy(&value, &word, sizeof(value));
  return value;
}

struct TrainerIds {
  std::int64_t unknown = 0, bos = 1, eos = 2, padding = -1;
};

Status read_piece(std::string_view bytes, const std::string& where, SentencePieceData& data) {
  static constexpr std::array<TokenKind, 7> kKinds = {
      TokenKind::kNormal,      TokenKind::kNormal, TokenKind::kUnknown, TokenKind::kControl,
      TokenKind::kUserDefined, TokenKind::kUnused, TokenKind::kByte};
  std::string piece;
  float score = 0;
  std::uint64_t type = 1;
  for (ProtoReader reader(bytes, where); !reader.done();) {
    const Field field = TRY(reader.next());
    if (field.number == 1) piece = std::string(field.bytes);
    if (field.number == 2) score = as_float(field.value);
    if (field.number == 3) type = field.value;
  }
  if (type == 0 || type >= kKinds.size() || piece.empty()) {
    return Error{.what = "a piece is empty or of an unknown type",
                 .where = where,
                 .found = "piece " + std::to_string(data.pieces.size())};
  }
  data.pieces.push_back(std::move(piece));
  data.scores.push_back(score);
  data.kinds.push_back(kKinds[type]);
  return {};
}

Status read_trainer(std::string_view bytes, const std::string& where, SentencePieceData& data,
                    TrainerIds& ids) {
  std::uint64_t model_type = 1;
  data.byte_fallback = false;
  for (ProtoReader reader(bytes, where); !reader.done();) {
    const Field field = TRY(reader.next());
    const auto id = static_cast<std::int64_t>(field.value);
    if (field.number == 3) model_type = field.value;
    if (field.number == 24) data.rules.suffix = field.value != 0;
    if (field.number == 35) data.byte_fallback = field.value != 0;
    if (field.number == 40) ids.unknown = id;
    if (field.number == 41) ids.bos = id;
    if (field.number == 42) ids.eos = id;
    if (field.number == 43) ids.padding = id;
    if (field.number == 44) data.unknown_surface = std::string(field.bytes);
  }
  if (model_type != 1 && model_type != 2) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "this SentencePiece model type is not supported",
                 .where = where,
                 .expected = "1 (unigram) or 2 (BPE)",
                 .found = std::to_string(model_type)};
  }
  data.unigram = model_type == 1;
  return {};
}

Status read_normalizer(std::string_view bytes, const std::string& where, SentencePieceData& data) {
  for (ProtoReader reader(bytes, where); !reader.done();) {
    const Field field = TRY(reader.next());
    if (field.number == 2) data.charsmap = std::string(field.bytes);
    if (field.number == 3) data.rules.dummy_prefix = field.value != 0;
    if (field.number == 4) data.rules.remove_extra_white_space = field.value != 0;
    if (field.number == 5) data.rules.escape_white_space = field.value != 0;
  }
  return {};
}

// Ids of the control tokens as the trainer wrote them, kept where the piece is of the kind.
void set_ids(const TrainerIds& ids, SentencePieceData& data) {
  const auto token = [&](std::int64_t id, TokenKind kind) -> std::optional<TokenId> {
    if (id < 0 || static_cast<std::uint64_t>(id) >= data.kinds.size()) return std::nullopt;
    if (data.kinds[static_cast<std::size_t>(id)] != kind) return std::nullopt;
    return static_cast<TokenId>(id);
  };
  data.unknown = token(ids.unknown, TokenKind::kUnknown);
  data.bos = token(ids.bos, TokenKind::kControl);
  data.eos = token(ids.eos, TokenKind::kControl);
  data.padding = token(ids.padding, TokenKind::kControl);
  // Grok-1 has a [BOS] that its own code never puts in front.
  data.add_bos = data.bos && data.pieces[static_cast<std::size_t>(*data.bos)] != "[BOS]";
}

}  // namespace

Result<TokenizerPtr> tokenizer_from_sentencepiece(std::string_view proto, const std::string& where) {
  SentencePieceData data;
  data.unigram = true;
  data.rules.remove_extra_white_space = true;
  TrainerIds ids;
  for (ProtoReader reader(proto, where); !reader.done();) {
    const Field field = TRY(reader.next());
    if (field.number == 1) TRY(read_piece(field.bytes, where, data));
    if (field.number == 2) TRY(read_trainer(field.bytes, where, data, ids));
    if (field.number == 3) TRY(read_normalizer(field.bytes, where, data));
  }
  TRY(check_unique(data.pieces, where));
  set_ids(ids, data);
  return finish(TRY(sentencepiece_parts(std::move(data), where)));
}

Result<TokenizerPtr> tokenizer_from_llama2c(std::string_view bytes, std::int64_t vocab_size,
                                            const std::string& where) {
  const std::size_t total = bytes.size();
  const auto cut = [&](std::size_t id) {
    return Error{.what = "tokenizer.bin ends early",
                 .where = where,
                 .expected = std::to_string(vocab_size) + " tokens",
                 .found = std::to_string(id) + " in " + std::to_string(total) + " bytes"};
  };
  if (bytes.size() < 4 || vocab_size < 3) return cut(0);
  bytes.remove_prefix(4);  // length of the longest token
  SentencePieceData data;
  for (std::size_t id = 0; id < static_cast<std::uint64_t>(vocab_size); ++id) {
    if (bytes.size() < 8) return cut(id);
    float score = 0;
    std::uint32_t size = 0;
    std::memcpy(&score, bytes.data(), 4);
    std::memcpy(&size, bytes.data() + 4, 4);
    bytes.remove_prefix(8);
    if (size > bytes.size()) return cut(id);
    data.pieces.push_back(replace_all(bytes.substr(0, size), " ", kBlankBlock));
    data.scores.push_back(score);
    const bool byte = byte_of_spelling(data.pieces.back()).has_value();
    data.kinds.push_back(byte ? TokenKind::kByte : size == 0 ? TokenKind::kUnused : TokenKind::kNormal);
    bytes.remove_prefix(size);
  }
  if (!bytes.empty()) {
    return Error{.what = "tokenizer.bin holds more than the model's vocabulary",
                 .where = where,
                 .expected = std::to_string(vocab_size) + " tokens",
                 .found = std::to_string(bytes.size()) + " bytes more"};
  }
  // llama2.c fixes these three; its files write the last two with line feeds round them.
  data.pieces[0] = "<unk>";
  data.pieces[1] = "<s>";
  data.pieces[2] = "</s>";
  data.kinds[0] = TokenKind::kUnknown;
  data.kinds[1] = data.kinds[2] = TokenKind::kControl;
  data.byte_fallback = std::count(data.kinds.begin(), data.kinds.end(), TokenKind::kByte) == 256;
  data.unknown = 0;
  data.bos = 1;
  data.eos = 2;
  return finish(TRY(sentencepiece_parts(std::move(data), where)));
}

}  // namespace maestrale::text
