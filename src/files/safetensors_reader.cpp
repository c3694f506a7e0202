#include "files/safetensors_reader.h"

#include <algorithm>
#include <array>

#include "files/byte_reader.h"
#include "files/safetensors_header.h"

namespace maestrale::files {
namespace {

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

struct TypeRow {
  std::string_view name;
  DType dtype;
};

constexpr std::array kTypes = {
    TypeRow{"F32", DType::kF32}, TypeRow{"F16", DType::kF16}, TypeRow{"BF16", DType::kBF16},
    TypeRow{"F64", DType::kF64}, TypeRow{"I8", DType::kI8},   TypeRow{"F8_E4M3", DType::kF8E4M3},
    TypeRow{"I16", DType::kI16}, TypeRow{"I32", DType::kI32}, TypeRow{"I64", DType::kI64},
    TypeRow{"U8", DType::kU8},
};

Result<DType> dtype_of(const SafetensorsEntry& entry, const std::string& where) {
  for (const TypeRow& row : kTypes) {
    if (row.name == entry.dtype) return row.dtype;
  }
  return Error{
      .kind = ErrorKind::kUnsupported,
      .what = "a tensor type that is not supported",
      .where = where,
      .found = entry.dtype,
      .hint = entry.dtype == "U32"
                  ? "the file is packed by another quantiser (MLX, GPTQ, AWQ); use the unquantised model"
                  : ""};
}

Result<TensorView> view_of(SafetensorsEntry& entry, std::span<const std::byte> data,
                           const std::string& where) {
  const DType dtype = TRY(dtype_of(entry, where));
  TensorView tensor{
      .name = std::move(entry.name), .dtype = dtype, .shape = std::move(entry.shape), .data = {}};
  auto bytes = storage_bytes(tensor.dtype, tensor.elements());
  if (!bytes.ok())
    return Error{.what = bytes.error().what, .where = where, .found = shape_text(tensor.shape)};
  const auto [begin, end] = entry.extent;
  if (end - begin != *bytes) {
    return Error{.what = "data_offsets do not agree with type and shape",
                 .where = where,
                 .expected = std::to_string(*bytes) + " bytes",
                 .found = std::to_string(end - begin)};
  }
  if (end > data.size()) {
    return Error{.what = "the tensor lies outside the file",
                 .where = where,
                 .expected = "data up to byte " + std::to_string(data.size()),
                 .found = std::to_string(end),
                 .hint = "the file is damaged or was not downloaded completely"};
  }
  tensor.data = data.subspan(begin, end - begin);
  return tensor;
}

Result<std::string_view> read_header_text(ByteReader& in) {
  const auto size = TRY(in.number<std::uint64_t>("the header's length"));
  if (size > kMaxHeaderBytes || size > in.remaining()) {
    return Error{
        .what = "the header's length is impossible",
        .where = in.where(),
        .expected = "at most " + std::to_string(std::min<std::uint64_t>(kMaxHeaderBytes, in.remaining())),
        .found = std::to_string(size),
        .hint = "not a safetensors file, or it was not downloaded completely"};
  }
  const std::string_view text = as_text(TRY(in.take(size, "the header")));
  if (!text.starts_with('{')) {
    return Error{
        .what = "the header does not begin with '{'", .where = in.where(), .hint = "not a safetensors file"};
  }
  return text;
}

}  // namespace

std::string_view safetensors_dtype_name(DType dtype) {
  for (const TypeRow& row : kTypes) {
    if (row.dtype == dtype) return row.name;
  }
  return {};
}

Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes, const std::string& where) {
  ByteReader in(bytes, where);
  SafetensorsHeader header = TRY(parse_safetensors_header(TRY(read_header_text(in)), where));
  const auto data = bytes.subspan(in.position());
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const auto& a, const auto& b) { return a.extent < b.extent; });
  SafetensorsFile file;
  file.metadata = std::move(header.metadata);
  file.tensors.reserve(header.entries.size());
  std::uint64_t covered = 0;
  for (SafetensorsEntry& entry : header.entries) {
    const std::string at = where + ", tensor '" + entry.name + "'";
    if (entry.extent[0] != covered) {
      return Error{.what = entry.extent[0] < covered ? "the tensor overlaps another"
                                                     : "there is a hole before the tensor",
                   .where = at,
                   .expected = "data from byte " + std::to_string(covered),
                   .found = std::to_string(entry.extent[0])};
    }
    covered = entry.extent[1];
    file.tensors.push_back(TRY(view_of(entry, data, at)));
  }
  if (covered == data.size()) return file;
  return Error{.what = "the file does not end where its tensors end",
               .where = where,
               .expected = std::to_string(covered) + " bytes of data",
               .found = std::to_string(data.size())};
}

}  // namespace maestrale::files
