#include "files/safetensors_writer.h"

#include <boost/json/serialize.hpp>

#include "base/check.h"
#include "base/json.h"
#include "files/safetensors_reader.h"

namespace maestrale::files {

Result<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::create(
    const std::filesystem::path& path, std::span<const TensorDeclaration> tensors) {
  json::object header;
  header["__metadata__"] = json::object({{"format", "pt"}});
  std::uint64_t offset = 0;
  for (const TensorDeclaration& tensor : tensors) {
    const std::string_view type = safetensors_dtype_name(tensor.dtype);
    if (type.empty()) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "safetensors has no such tensor type",
                   .where = path.string() + ", tensor '" + tensor.name + "'",
                   .found = std::string(traits(tensor.dtype).name),
                   .hint = "convert to f32, f16 or bf16"};
    }
    const std::uint64_t end = offset + TRY(declared_bytes(tensor));
    json::array shape;
    for (const std::int64_t size : tensor.shape) shape.push_back(json::value(size));
    json::object entry;
    entry["dtype"] = type;
    entry["shape"] = std::move(shape);
    entry["data_offsets"] = json::array({offset, end});
    header[tensor.name] = std::move(entry);
    offset = end;
  }
  std::string text = json::serialize(header);
  text.append((8 - text.size() % 8) % 8, ' ');
  auto writer = std::make_unique<SafetensorsWriter>();
  writer->file_ = TRY(OutputFile::create(path));
  const std::uint64_t length = text.size();
  TRY(writer->file_.write(std::as_bytes(std::span(&length, 1))));
  TRY(writer->file_.write(std::string_view(text)));
  writer->end_ = writer->file_.position() + offset;
  return writer;
}

Status SafetensorsWriter::append(std::span<const std::byte> bytes) {
  CHECK(bytes.size() <= end_ - file_.position(), "no more data than was declared");
  return file_.write(bytes);
}

Status SafetensorsWriter::finish() {
  CHECK(file_.position() == end_, "every declared tensor has its data");
  return file_.commit();
}

}  // namespace maestrale::files
