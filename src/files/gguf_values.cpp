#include "files/gguf_values.h"

#include <limits>
#include <optional>

namespace maestrale::files {
namespace {

constexpr int kMaxNesting = 4;

struct ArrayHeader {
  GgufType type = GgufType::kU8;
  std::uint64_t count = 0;
};

// Bytes of a scalar; for strings and arrays the least that one can take.
std::uint64_t least_bytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kString:
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kArray:
      return 12;
  }
  return 0;
}

Result<ArrayHeader> read_array_header(ByteReader& in, std::string_view key) {
  const auto type = TRY(in.number<std::uint32_t>(key));
  ArrayHeader header{static_cast<GgufType>(type), TRY(in.number<std::uint64_t>(key))};
  const std::uint64_t least = least_bytes(header.type);
  if (least == 0) {
    return Error{.what = "array '" + std::string(key) + "' has an unknown element type",
                 .where = in.where(),
                 .expected = "0 to 12",
                 .found = std::to_string(type)};
  }
  if (header.count > in.remaining() / least) {
    return Error{.what = "array '" + std::string(key) + "' claims more elements than the file can hold",
                 .where = in.where(),
                 .expected = "at most " + std::to_string(in.remaining() / least),
                 .found = std::to_string(header.count)};
  }
  return header;
}

Result<json::value> read_bool(ByteReader& in, std::string_view key) {
  const auto value = TRY(in.number<std::uint8_t>(key));
  if (value <= 1) return json::value(value == 1);
  return Error{.what = "boolean '" + std::string(key) + "' is neither 0 nor 1",
               .where = in.where(),
               .found = std::to_string(value)};
}

template <class T>
Result<json::value> read_number(ByteReader& in, std::string_view key) {
  return json::value(TRY(in.number<T>(key)));
}

Result<json::value> read_value(ByteReader& in, GgufType type, std::int64_t& budget, std::string_view key,
                               int depth);

Result<json::value> read_array(ByteReader& in, std::int64_t& budget, std::string_view key, int depth) {
  if (depth >= kMaxNesting) {
    return Error{.what = "array '" + std::string(key) + "' is nested too deeply",
                 .where = in.where(),
                 .expected = "at most " + std::to_string(kMaxNesting) + " levels"};
  }
  const ArrayHeader header = TRY(read_array_header(in, key));
  if (budget < 0 || header.count > static_cast<std::uint64_t>(budget)) {
    return Error{.kind = ErrorKind::kResource,
                 .what = "array '" + std::string(key) + "' is too long for a model's metadata",
                 .where = in.where(),
                 .found = std::to_string(header.count) + " elements"};
  }
  budget -= static_cast<std::int64_t>(header.count);
  json::array array;
  array.reserve(static_cast<std::size_t>(header.count));
  for (std::uint64_t i = 0; i < header.count; ++i) {
    array.push_back(TRY(read_value(in, header.type, budget, key, depth + 1)));
  }
  return json::value(std::move(array));
}

Result<json::value> read_value(ByteReader& in, GgufType type, std::int64_t& budget, std::string_view key,
                               int depth) {
  switch (type) {
    case GgufType::kU8:
      return read_number<std::uint8_t>(in, key);
    case GgufType::kI8:
      return read_number<std::int8_t>(in, key);
    case GgufType::kU16:
      return read_number<std::uint16_t>(in, key);
    case GgufType::kI16:
      return read_number<std::int16_t>(in, key);
    case GgufType::kU32:
      return read_number<std::uint32_t>(in, key);
    case GgufType::kI32:
      return read_number<std::int32_t>(in, key);
    case GgufType::kF32:
      return read_number<float>(in, key);
    case GgufType::kBool:
      return read_bool(in, key);
    case GgufType::kString:
      return json::value(TRY(read_gguf_string(in, key)));
    case GgufType::kArray:
      return read_array(in, budget, key, depth);
    case GgufType::kU64:
      return read_number<std::uint64_t>(in, key);
    case GgufType::kI64:
      return read_number<std::int64_t>(in, key);
    case GgufType::kF64:
      return read_number<double>(in, key);
  }
  return Error{.what = "key '" + std::string(key) + "' has an unknown type",
               .where = in.where(),
               .expected = "0 to 12",
               .found = std::to_string(static_cast<std::uint32_t>(type))};
}

Status skip_array(ByteReader& in, const ArrayHeader& header, std::string_view key, int depth) {
  if (header.type != GgufType::kString && header.type != GgufType::kArray) {
    TRY(in.take(header.count * least_bytes(header.type), key));
    return {};
  }
  if (depth >= kMaxNesting) {
    return Error{.what = "array '" + std::string(key) + "' is nested too deeply", .where = in.where()};
  }
  for (std::uint64_t i = 0; i < header.count; ++i) {
    if (header.type == GgufType::kString) {
      TRY(read_gguf_string(in, key));
    } else {
      TRY(skip_array(in, TRY(read_array_header(in, key)), key, depth + 1));
    }
  }
  return {};
}

Error wrong_elements(const ByteReader& in, std::string_view key, std::string_view expected, GgufType found) {
  return Error{.what = "array '" + std::string(key) + "' has elements of the wrong type",
               .where = in.where(),
               .expected = std::string(expected),
               .found = "type " + std::to_string(static_cast<std::uint32_t>(found))};
}

Status read_strings(ByteReader& in, const ArrayHeader& header, std::string_view key,
                    std::vector<std::string>& out) {
  if (header.type != GgufType::kString) return wrong_elements(in, key, "strings", header.type);
  out.reserve(static_cast<std::size_t>(header.count));
  for (std::uint64_t i = 0; i < header.count; ++i) out.emplace_back(TRY(read_gguf_string(in, key)));
  return {};
}

Status read_scores(ByteReader& in, const ArrayHeader& header, std::string_view key, std::vector<float>& out) {
  if (header.type != GgufType::kF32) return wrong_elements(in, key, "f32", header.type);
  const auto bytes = TRY(in.take(header.count * sizeof(float), key));
  out.resize(static_cast<std::size_t>(header.count));
  if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  return {};
}

Status read_token_types(ByteReader& in, const ArrayHeader& header, std::string_view key,
                        std::vector<std::int32_t>& out) {
  out.reserve(static_cast<std::size_t>(header.count));
  std::int64_t budget = 0;
  for (std::uint64_t i = 0; i < header.count; ++i) {
    const json::value value = TRY(read_gguf_value(in, header.type, budget, key));
    if (!value.is_int64() && !value.is_uint64()) return wrong_elements(in, key, "integers", header.type);
    const auto number =
        value.is_int64() ? value.get_int64() : static_cast<std::int64_t>(value.get_uint64() & 0x7f);
    out.push_back(number < 0 || number > 127 ? 0 : static_cast<std::int32_t>(number));
  }
  return {};
}

}  // namespace

Result<std::string_view> read_gguf_string(ByteReader& in, std::string_view what) {
  return as_text(TRY(in.take(TRY(in.number<std::uint64_t>(what)), what)));
}

Result<json::value> read_gguf_value(ByteReader& in, GgufType type, std::int64_t& budget,
                                    std::string_view key) {
  return read_value(in, type, budget, key, 0);
}

Status skip_gguf_value(ByteReader& in, GgufType type, std::string_view key) {
  if (type == GgufType::kArray) return skip_array(in, TRY(read_array_header(in, key)), key, 0);
  std::int64_t budget = 0;
  TRY(read_value(in, type, budget, key, 0));
  return {};
}

Status read_vocabulary_array(ByteReader& in, std::string_view key, text::GgufVocabulary& out) {
  const ArrayHeader header = TRY(read_array_header(in, key));
  const std::string_view name = key.substr(key.rfind('.') + 1);
  if (name == "tokens") return read_strings(in, header, key, out.tokens);
  if (name == "merges") return read_strings(in, header, key, out.merges);
  if (name == "scores") return read_scores(in, header, key, out.scores);
  if (name == "token_type") return read_token_types(in, header, key, out.token_types);
  if (name == "precompiled_charsmap" && least_bytes(header.type) == 1) {
    out.precompiled_charsmap = as_text(TRY(in.take(header.count, key)));
    return {};
  }
  return skip_array(in, header, key, 0);
}

Status store_vocabulary_scalar(const json::value& value, std::string_view key, const std::string& where,
                               text::GgufVocabulary& out) {
  const std::string_view name = key.substr(std::string_view("tokenizer.ggml.").size());
  const Error wrong{.what = "key '" + std::string(key) + "' is of the wrong kind", .where = where};
  for (auto& [field, text] : {std::pair("model", &out.model), {"pre", &out.pre}}) {
    if (name != field) continue;
    if (!value.is_string()) return wrong;
    *text = value.get_string();
  }
  for (auto& [field, flag] : {std::pair("add_bos_token", &out.add_bos),
                              {"add_eos_token", &out.add_eos},
                              {"add_space_prefix", &out.add_space_prefix},
                              {"remove_extra_whitespaces", &out.remove_extra_whitespaces}}) {
    if (name != field) continue;
    if (!value.is_bool()) return wrong;
    *flag = value.get_bool();
  }
  for (auto& [field, id] : {std::pair("bos_token_id", &out.bos),
                            {"eos_token_id", &out.eos},
                            {"eot_token_id", &out.eot},
                            {"eom_token_id", &out.eom},
                            {"unknown_token_id", &out.unknown},
                            {"padding_token_id", &out.padding}}) {
    if (name != field) continue;
    if (!value.is_int64() && !value.is_uint64()) return wrong;
    const std::uint64_t bits =
        value.is_int64() ? static_cast<std::uint64_t>(value.get_int64()) : value.get_uint64();
    // Converters write -1 as u32 or u64 where there is no such token.
    if (bits < std::numeric_limits<std::int32_t>::max()) *id = static_cast<std::int64_t>(bits);
  }
  return {};
}

}  // namespace maestrale::files
