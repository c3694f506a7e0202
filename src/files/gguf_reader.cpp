#include "files/gguf_reader.h"

#include <algorithm>
#include <bit>
#include <unordered_set>

#include "files/byte_reader.h"
#include "files/gguf_values.h"

namespace maestrale::files {
namespace {

constexpr std::uint64_t kLeastKeyBytes = 8 + 4 + 1;         // name length, type, a one-byte value
constexpr std::uint64_t kLeastTensorBytes = 8 + 4 + 4 + 8;  // name length, dimensions, type, offset
constexpr std::uint64_t kMaxNameBytes = 64, kMaxKeyBytes = 65535;
constexpr std::uint32_t kMaxDimensions = 4;
constexpr std::int64_t kMaxMetadataValues = 1 << 20;
constexpr std::uint64_t kMaxAlignment = 1 << 24;
constexpr std::string_view kVocabularyPrefix = "tokenizer.ggml.";

struct Counts {
  std::uint64_t tensors = 0, keys = 0;
};

struct Placement {
  std::uint64_t offset = 0;  // from the start of the data
  std::uint64_t bytes = 0;
};

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), in_(bytes, where) {}
  Result<GgufFile> parse();

 private:
  Result<Counts> read_header();
  Status read_key();
  Status read_value(GgufType type, std::string_view key);
  Status read_tensor_info();
  Result<TensorView> read_shape(std::string_view name);
  Status place_tensors();
  Status check_overlaps() const;
  Result<std::uint64_t> alignment() const;
  std::string at(std::string_view tensor) const {
    return in_.where() + ", tensor '" + std::string(tensor) + "'";
  }

  std::span<const std::byte> bytes_;
  ByteReader in_;
  GgufFile file_;
  std::int64_t budget_ = kMaxMetadataValues;
  std::unordered_set<std::string_view> key_names_, tensor_names_;
  std::vector<Placement> placements_;  // one per tensor
};

Error too_many(const std::string& where, std::string_view what, std::uint64_t claimed,
               std::uint64_t possible) {
  return Error{.what = "the header claims more " + std::string(what) + " than the file can hold",
               .where = where,
               .expected = "at most " + std::to_string(possible),
               .found = std::to_string(claimed)};
}

Result<Counts> Parser::read_header() {
  const std::string_view magic = as_text(TRY(in_.take(4, "the header")));
  if (magic != "GGUF") return Error{.what = "not a GGUF file", .where = in_.where()};
  const auto version = TRY(in_.number<std::uint32_t>("the header"));
  if (version != 2 && version != 3) {
    const bool swapped = (version & 0xffff) == 0 && version != 0;
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = swapped ? "a big-endian GGUF file" : "GGUF version " + std::to_string(version),
                 .where = in_.where(),
                 .expected = "little-endian GGUF, version 2 or 3",
                 .hint = "convert the model again with a present converter"};
  }
  Counts counts;
  counts.tensors = TRY(in_.number<std::uint64_t>("the header"));
  counts.keys = TRY(in_.number<std::uint64_t>("the header"));
  if (counts.keys > in_.remaining() / kLeastKeyBytes) {
    return too_many(in_.where(), "keys", counts.keys, in_.remaining() / kLeastKeyBytes);
  }
  if (counts.tensors > in_.remaining() / kLeastTensorBytes) {
    return too_many(in_.where(), "tensors", counts.tensors, in_.remaining() / kLeastTensorBytes);
  }
  return counts;
}

Status Parser::read_value(GgufType type, std::string_view key) {
  const bool of_vocabulary = key.starts_with(kVocabularyPrefix);
  if (of_vocabulary && type == GgufType::kArray) return read_vocabulary_array(in_, key, file_.vocabulary);
  if (--budget_ < 0) {
    return Error{.kind = ErrorKind::kResource, .what = "too much metadata for a model", .where = in_.where()};
  }
  json::value value = TRY(read_gguf_value(in_, type, budget_, key));
  if (of_vocabulary) TRY(store_vocabulary_scalar(value, key, in_.where(), file_.vocabulary));
  file_.metadata[key] = std::move(value);
  return {};
}

Status Parser::read_key() {
  const std::string_view key = TRY(read_gguf_string(in_, "a key's name"));
  if (key.empty() || key.size() > kMaxKeyBytes) {
    return Error{.what = "a key's name is empty or too long",
                 .where = in_.where() + " at byte " + std::to_string(in_.position()),
                 .expected = "1 to 65535 bytes",
                 .found = std::to_string(key.size())};
  }
  if (!key_names_.insert(key).second) {
    return Error{.what = "key '" + std::string(key) + "' stands in the file twice", .where = in_.where()};
  }
  const auto type = static_cast<GgufType>(TRY(in_.number<std::uint32_t>(key)));
  const std::size_t begin = in_.position();
  TRY(read_value(type, key));
  file_.keys.push_back({key, type, bytes_.subspan(begin, in_.position() - begin)});
  return {};
}

Result<TensorView> Parser::read_shape(std::string_view name) {
  TensorView tensor{.name = std::string(name), .dtype = DType::kF32, .shape = {}, .data = {}};
  const auto dimensions = TRY(in_.number<std::uint32_t>("a tensor's shape"));
  if (dimensions > kMaxDimensions) {
    return Error{.what = "too many dimensions",
                 .where = at(name),
                 .expected = "at most " + std::to_string(kMaxDimensions),
                 .found = std::to_string(dimensions)};
  }
  std::uint64_t elements = 1;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const auto size = TRY(in_.number<std::uint64_t>("a tensor's shape"));
    if (size == 0 || size > (std::uint64_t{1} << 62) / elements) {
      return Error{.what = "a dimension is zero or the shape is too large",
                   .where = at(name),
                   .found = std::to_string(size)};
    }
    elements *= size;
    tensor.shape.push_back(static_cast<std::int64_t>(size));
  }
  std::reverse(tensor.shape.begin(), tensor.shape.end());
  return tensor;
}

Status Parser::read_tensor_info() {
  const std::string_view name = TRY(read_gguf_string(in_, "a tensor's name"));
  if (name.empty() || name.size() > kMaxNameBytes) {
    return Error{.what = "a tensor's name is empty or too long",
                 .where = in_.where() + " at byte " + std::to_string(in_.position()),
                 .expected = "1 to " + std::to_string(kMaxNameBytes) + " bytes",
                 .found = std::to_string(name.size())};
  }
  if (!tensor_names_.insert(name).second) {
    return Error{.what = "two tensors have the same name", .where = at(name)};
  }
  TensorView tensor = TRY(read_shape(name));
  const auto type = TRY(in_.number<std::uint32_t>("a tensor's type"));
  const std::optional<DType> dtype = dtype_from_ggml(type);
  if (!dtype) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "a tensor type that is not supported",
                 .where = at(name),
                 .found = "GGUF type " + std::to_string(type),
                 .hint = "types 9 and 15 never belong in files; 4, 5, 31-33 and 36-38 were withdrawn"};
  }
  tensor.dtype = *dtype;
  if (tensor.columns() % traits(*dtype).block_elements != 0) {
    return Error{.what = "the row length is not a multiple of the type's block",
                 .where = at(name),
                 .expected = "a multiple of " + std::to_string(traits(*dtype).block_elements) + " for " +
                             std::string(traits(*dtype).name),
                 .found = std::to_string(tensor.columns())};
  }
  auto bytes = storage_bytes(*dtype, tensor.elements());
  if (!bytes.ok())
    return Error{.what = bytes.error().what, .where = at(name), .found = shape_text(tensor.shape)};
  placements_.push_back({TRY(in_.number<std::uint64_t>("a tensor's offset")), *bytes});
  file_.tensors.push_back(std::move(tensor));
  return {};
}

Result<std::uint64_t> Parser::alignment() const {
  const json::value* value = file_.metadata.if_contains("general.alignment");
  if (value == nullptr) return kGgufAlignment;
  const auto number = TRY(JsonFields(file_.metadata, in_.where()).integer("general.alignment"));
  if (number > 0 && number <= static_cast<std::int64_t>(kMaxAlignment) &&
      std::has_single_bit(static_cast<std::uint64_t>(number))) {
    return static_cast<std::uint64_t>(number);
  }
  return Error{.what = "general.alignment is not a power of two that makes sense",
               .where = in_.where(),
               .found = std::to_string(number)};
}

Status Parser::place_tensors() {
  const std::uint64_t align = TRY(alignment());
  const std::uint64_t start = (in_.position() + align - 1) / align * align;
  const std::uint64_t available = start < bytes_.size() ? bytes_.size() - start : 0;
  for (std::size_t i = 0; i < placements_.size(); ++i) {
    const auto [offset, bytes] = placements_[i];
    const std::string& name = file_.tensors[i].name;
    if (offset % align != 0) {
      return Error{.what = "the tensor is not aligned",
                   .where = at(name),
                   .expected = "an offset that is a multiple of " + std::to_string(align),
                   .found = std::to_string(offset)};
    }
    if (offset > available || bytes > available - offset) {
      return Error{.what = "the tensor lies outside the file",
                   .where = at(name),
                   .expected = "data up to byte " + std::to_string(available),
                   .found = std::to_string(bytes) + " bytes at " + std::to_string(offset),
                   .hint = "the file is damaged or was not downloaded completely"};
    }
    file_.tensors[i].data = bytes_.subspan(start + offset, bytes);
  }
  return check_overlaps();
}

Status Parser::check_overlaps() const {
  std::vector<std::size_t> order(placements_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return placements_[a].offset < placements_[b].offset; });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const Placement& before = placements_[order[i - 1]];
    if (before.offset + before.bytes <= placements_[order[i]].offset) continue;
    return Error{.what = "the tensor overlaps tensor '" + file_.tensors[order[i - 1]].name + "'",
                 .where = at(file_.tensors[order[i]].name)};
  }
  return {};
}

Result<GgufFile> Parser::parse() {
  const Counts counts = TRY(read_header());
  for (std::uint64_t i = 0; i < counts.keys; ++i) TRY(read_key());
  if (counts.tensors > in_.remaining() / kLeastTensorBytes) {
    return too_many(in_.where(), "tensors", counts.tensors, in_.remaining() / kLeastTensorBytes);
  }
  for (std::uint64_t i = 0; i < counts.tensors; ++i) TRY(read_tensor_info());
  TRY(place_tensors());
  return std::move(file_);
}

}  // namespace

Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, const std::string& where) {
  return Parser(bytes, where).parse();
}

}  // namespace maestrale::files
