#include "files/gguf_writer.h"

#include <algorithm>

#include "base/check.h"

namespace maestrale::files {
namespace {

constexpr std::size_t kMaxDimensions = 4;
constexpr std::size_t kMaxNameBytes = 63;  // readers keep a terminating zero

std::uint64_t padding(std::uint64_t size) {
  return (kGgufAlignment - size % kGgufAlignment) % kGgufAlignment;
}

template <class T>
void append_number(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void append_string(std::string& out, std::string_view text) {
  append_number<std::uint64_t>(out, text.size());
  out.append(text);
}

Status check_declaration(const TensorDeclaration& tensor, const std::filesystem::path& path) {
  const std::string where = path.string() + ", tensor '" + tensor.name + "'";
  if (traits(tensor.dtype).ggml_type < 0) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "GGUF has no such tensor type",
                 .where = where,
                 .found = std::string(traits(tensor.dtype).name)};
  }
  if (tensor.name.size() > kMaxNameBytes || tensor.shape.size() > kMaxDimensions) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "GGUF cannot hold a tensor with this name or so many dimensions",
                 .where = where,
                 .expected = "at most 63 bytes and 4 dimensions"};
  }
  return {};
}

}  // namespace

Result<std::uint64_t> declared_bytes(const TensorDeclaration& tensor) {
  std::int64_t elements = 1;
  for (const std::int64_t size : tensor.shape) elements *= size;
  const std::int64_t columns = tensor.shape.empty() ? 1 : tensor.shape.back();
  const int block = traits(tensor.dtype).block_elements;
  if (columns % block != 0) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "the rows of tensor '" + tensor.name + "' cannot be stored as " +
                         std::string(traits(tensor.dtype).name),
                 .where = tensor.name,
                 .expected = "a multiple of " + std::to_string(block) + " columns",
                 .found = std::to_string(columns)};
  }
  return static_cast<std::uint64_t>(TRY(storage_bytes(tensor.dtype, elements)));
}

template <class T>
void GgufKeys::put(T value) {
  append_number(bytes_, value);
}

void GgufKeys::begin(std::string_view name, GgufType type) {
  append_string(bytes_, name);
  put(static_cast<std::uint32_t>(type));
  ++count_;
}

void GgufKeys::add(std::string_view name, std::uint32_t value) {
  begin(name, GgufType::kU32);
  put(value);
}

void GgufKeys::add(std::string_view name, float value) {
  begin(name, GgufType::kF32);
  put(value);
}

void GgufKeys::add(std::string_view name, bool value) {
  begin(name, GgufType::kBool);
  put(static_cast<std::uint8_t>(value ? 1 : 0));
}

void GgufKeys::add(std::string_view name, std::string_view value) {
  begin(name, GgufType::kString);
  append_string(bytes_, value);
}

void GgufKeys::add(std::string_view name, std::span<const std::string> values) {
  begin(name, GgufType::kArray);
  put(static_cast<std::uint32_t>(GgufType::kString));
  put<std::uint64_t>(values.size());
  for (const std::string& value : values) append_string(bytes_, value);
}

void GgufKeys::add(std::string_view name, std::span<const float> values) {
  begin(name, GgufType::kArray);
  put(static_cast<std::uint32_t>(GgufType::kF32));
  put<std::uint64_t>(values.size());
  for (const float value : values) put(value);
}

void GgufKeys::add(std::string_view name, std::span<const std::int32_t> values) {
  begin(name, GgufType::kArray);
  put(static_cast<std::uint32_t>(GgufType::kI32));
  put<std::uint64_t>(values.size());
  for (const std::int32_t value : values) put(value);
}

void GgufKeys::add(const GgufKey& key) {
  begin(key.name, key.type);
  bytes_.append(reinterpret_cast<const char*>(key.value.data()), key.value.size());
}

void GgufKeys::add(const text::GgufVocabulary& vocabulary) {
  const std::string prefix = "tokenizer.ggml.";
  add(prefix + "model", vocabulary.model);
  if (!vocabulary.pre.empty()) add(prefix + "pre", vocabulary.pre);
  add(prefix + "tokens", std::span<const std::string>(vocabulary.tokens));
  if (!vocabulary.scores.empty()) add(prefix + "scores", std::span<const float>(vocabulary.scores));
  if (!vocabulary.token_types.empty()) {
    add(prefix + "token_type", std::span<const std::int32_t>(vocabulary.token_types));
  }
  if (!vocabulary.merges.empty()) add(prefix + "merges", std::span<const std::string>(vocabulary.merges));
  for (const auto& [name, id] : {std::pair("bos_token_id", vocabulary.bos),
                                 {"eos_token_id", vocabulary.eos},
                                 {"eot_token_id", vocabulary.eot},
                                 {"eom_token_id", vocabulary.eom},
                                 {"unknown_token_id", vocabulary.unknown},
                                 {"padding_token_id", vocabulary.padding}}) {
    if (id) add(prefix + name, static_cast<std::uint32_t>(*id));
  }
  for (const auto& [name, flag] : {std::pair("add_bos_token", vocabulary.add_bos),
                                   {"add_eos_token", vocabulary.add_eos},
                                   {"add_space_prefix", vocabulary.add_space_prefix},
                                   {"remove_extra_whitespaces", vocabulary.remove_extra_whitespaces}}) {
    if (flag) add(prefix + name, *flag);
  }
}

Result<std::unique_ptr<GgufWriter>> GgufWriter::create(const std::filesystem::path& path,
                                                       const GgufKeys& keys,
                                                       std::span<const TensorDeclaration> tensors) {
  auto writer = std::make_unique<GgufWriter>();
  std::string header = "GGUF";
  append_number<std::uint32_t>(header, 3);
  append_number<std::uint64_t>(header, tensors.size());
  append_number<std::uint64_t>(header, keys.count());
  header += keys.bytes();
  std::uint64_t offset = 0;
  for (const TensorDeclaration& tensor : tensors) {
    TRY(check_declaration(tensor, path));
    append_string(header, tensor.name);
    append_number(header, static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) append_number(header, *size);
    append_number(header, static_cast<std::uint32_t>(traits(tensor.dtype).ggml_type));
    append_number(header, offset);
    const std::uint64_t bytes = TRY(declared_bytes(tensor));
    writer->sizes_.push_back(bytes);
    offset += bytes + padding(bytes);
  }
  header.append(padding(header.size()), '\0');
  writer->file_ = TRY(OutputFile::create(path));
  TRY(writer->file_.write(std::string_view(header)));
  return writer;
}

Status GgufWriter::append(std::span<const std::byte> bytes) {
  CHECK(current_ < sizes_.size() && bytes.size() <= sizes_[current_] - given_,
        "no more data than was declared");
  TRY(file_.write(bytes));
  given_ += bytes.size();
  if (given_ < sizes_[current_]) return {};
  TRY(file_.write_zeros(padding(sizes_[current_])));
  ++current_;
  given_ = 0;
  return {};
}

Status GgufWriter::finish() {
  CHECK(current_ == sizes_.size(), "every declared tensor has its data");
  return file_.commit();
}

}  // namespace maestrale::files
