#include "files/llama2c_reader.h"

#include <array>
#include <boost/json/serialize.hpp>
#include <cstring>

#include "files/byte_reader.h"

namespace maestrale::files {
namespace {

constexpr std::uint32_t kMagic = 0x616b3432;  // "24ka"
constexpr std::size_t kHeaderBytes = 256;     // versions 1 and 2

struct Header {
  std::int32_t version = 0;
  std::array<std::int32_t, 7> sizes{};  // dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len
  bool shared_classifier = true;
  std::int64_t group_size = 0;

  std::int64_t dim() const { return sizes[0]; }
  std::int64_t hidden() const { return sizes[1]; }
  std::int64_t layers() const { return sizes[2]; }
  std::int64_t heads() const { return sizes[3]; }
  std::int64_t kv_heads() const { return sizes[4]; }
  std::int64_t vocab() const { return sizes[5]; }
  std::int64_t sequence() const { return sizes[6]; }
  std::int64_t head_size() const { return dim() / heads(); }
};

bool plausible(const Header& header) {
  for (const std::int32_t size : header.sizes) {
    if (size <= 0 || size > (1 << 24)) return false;
  }
  if (header.layers() > 4096 || header.heads() > header.dim()) return false;
  return header.dim() % header.heads() == 0 && header.heads() % header.kv_heads() == 0 &&
         header.head_size() % 2 == 0;
}

Result<Header> read_header(ByteReader& in) {
  Header header;
  auto first = TRY(in.number<std::uint32_t>("the header"));
  std::size_t begin = 1;
  if (first == kMagic) {
    header.version = TRY(in.number<std::int32_t>("the header"));
    begin = 0;
  } else {
    header.sizes[0] = static_cast<std::int32_t>(first);
  }
  for (std::size_t i = begin; i < header.sizes.size(); ++i) {
    header.sizes[i] = TRY(in.number<std::int32_t>("the header"));
  }
  if (begin == 1) {
    header.shared_classifier = header.sizes[5] > 0;
    if (header.sizes[5] < 0 && header.sizes[5] > -(1 << 24)) header.sizes[5] = -header.sizes[5];
    return header;
  }
  if (header.version != 1 && header.version != 2) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "llama2.c version " + std::to_string(header.version),
                 .where = in.where(),
                 .expected = "1 or 2"};
  }
  const auto shared = TRY(in.number<std::uint8_t>("the header"));
  if (shared > 1) return Error{.what = "the shared-classifier flag is neither 0 nor 1", .where = in.where()};
  header.shared_classifier = shared == 1;
  if (header.version == 2) header.group_size = TRY(in.number<std::int32_t>("the header"));
  TRY(in.take(kHeaderBytes - in.position(), "the header"));
  return header;
}

// Hands out views one after the other, in the order of the file.
class Layout {
 public:
  Layout(const Header& header, ByteReader& in) : header_(header), in_(in) {}

  Status floats(std::string name, std::vector<std::int64_t> shape) {
    return add(std::move(name), DType::kF32, std::move(shape));
  }
  // A matrix that version 2 stores as groups of int8.
  Status matrix(const std::string& name, std::int64_t rows, std::int64_t columns) {
    if (header_.version != 2) return floats(name, {rows, columns});
    const std::int64_t elements = rows * columns;
    if (elements % header_.group_size != 0) {
      return Error{.what = "a matrix is not a whole number of groups",
                   .where = in_.where() + ", tensor '" + name + "'",
                   .expected = "a multiple of " + std::to_string(header_.group_size),
                   .found = std::to_string(elements)};
    }
    TRY(add(name, DType::kI8, {rows, columns}));
    return floats(name + ".scale", {elements / header_.group_size});
  }
  Status each_layer_floats(std::string_view name, std::int64_t size) {
    for (std::int64_t i = 0; i < header_.layers(); ++i) TRY(floats(layer(i, name), {size}));
    return {};
  }
  Status each_layer_matrix(std::string_view name, std::int64_t rows, std::int64_t columns) {
    for (std::int64_t i = 0; i < header_.layers(); ++i) TRY(matrix(layer(i, name), rows, columns));
    return {};
  }
  std::vector<TensorView> take() { return std::move(tensors_); }

 private:
  static std::string layer(std::int64_t index, std::string_view name) {
    return "layers." + std::to_string(index) + "." + std::string(name) + ".weight";
  }
  Status add(std::string name, DType dtype, std::vector<std::int64_t> shape) {
    TensorView tensor{.name = std::move(name), .dtype = dtype, .shape = std::move(shape), .data = {}};
    const std::size_t bytes = TRY(storage_bytes(dtype, tensor.elements()));
    tensor.data = TRY(in_.take(bytes, "tensor '" + tensor.name + "'"));
    tensors_.push_back(std::move(tensor));
    return {};
  }

  const Header& header_;
  ByteReader& in_;
  std::vector<TensorView> tensors_;
};

Status attention(Layout& layout, const Header& header) {
  const std::int64_t kv_dim = header.kv_heads() * header.head_size();
  TRY(layout.each_layer_matrix("attention.wq", header.dim(), header.dim()));
  TRY(layout.each_layer_matrix("attention.wk", kv_dim, header.dim()));
  TRY(layout.each_layer_matrix("attention.wv", kv_dim, header.dim()));
  return layout.each_layer_matrix("attention.wo", header.dim(), header.dim());
}

Status feed_forward(Layout& layout, const Header& header) {
  TRY(layout.each_layer_matrix("feed_forward.w1", header.hidden(), header.dim()));
  TRY(layout.each_layer_matrix("feed_forward.w2", header.dim(), header.hidden()));
  return layout.each_layer_matrix("feed_forward.w3", header.hidden(), header.dim());
}

Status classifier(Layout& layout, const Header& header) {
  return header.shared_classifier ? Status() : layout.matrix("output.weight", header.vocab(), header.dim());
}

Status lay_out_version_0(Layout& layout, const Header& header, ByteReader& in) {
  TRY(layout.matrix("tok_embeddings.weight", header.vocab(), header.dim()));
  TRY(layout.each_layer_floats("attention_norm", header.dim()));
  TRY(attention(layout, header));
  TRY(layout.each_layer_floats("ffn_norm", header.dim()));
  TRY(feed_forward(layout, header));
  TRY(layout.floats("norm.weight", {header.dim()}));
  const std::int64_t rotary = header.sequence() * header.head_size();  // two tables of half a head, unused
  TRY(in.take(static_cast<std::uint64_t>(rotary) * sizeof(float), "the rotary tables"));
  return classifier(layout, header);
}

Status lay_out_later_version(Layout& layout, const Header& header) {
  TRY(layout.each_layer_floats("attention_norm", header.dim()));
  TRY(layout.each_layer_floats("ffn_norm", header.dim()));
  TRY(layout.floats("norm.weight", {header.dim()}));
  TRY(layout.matrix("tok_embeddings.weight", header.vocab(), header.dim()));
  TRY(attention(layout, header));
  TRY(feed_forward(layout, header));
  return classifier(layout, header);
}

json::object metadata_of(const Header& header) {
  json::object out;
  constexpr std::array kNames = {"dim",        "hidden_dim", "n_layers", "n_heads",
                                 "n_kv_heads", "vocab_size", "seq_len"};
  for (std::size_t i = 0; i < kNames.size(); ++i) out[kNames[i]] = header.sizes[i];
  out["shared_classifier"] = header.shared_classifier;
  out["version"] = header.version;
  if (header.version == 2) out["group_size"] = header.group_size;
  return out;
}

}  // namespace

bool looks_like_llama2c(std::span<const std::byte> bytes) {
  std::uint32_t first = 0;
  if (bytes.size() < 28) return false;
  std::memcpy(&first, bytes.data(), sizeof(first));
  if (first == kMagic) return true;
  ByteReader in(bytes, {});
  const auto header = read_header(in);
  return header.ok() && plausible(*header);
}

Result<Llama2cFile> parse_llama2c(std::span<const std::byte> bytes, const std::string& where) {
  ByteReader in(bytes, where);
  const Header header = TRY(read_header(in));
  if (!plausible(header) || (header.version == 2 && header.group_size <= 0)) {
    return Error{.what = "the sizes in the header do not fit together",
                 .where = where,
                 .found = json::serialize(metadata_of(header)),
                 .hint = "not a llama2.c model, or a damaged one"};
  }
  Layout layout(header, in);
  TRY(header.version == 0 ? lay_out_version_0(layout, header, in) : lay_out_later_version(layout, header));
  if (in.remaining() != 0) {
    return Error{.what = "the file is longer than its header says",
                 .where = where,
                 .expected = std::to_string(in.position()) + " bytes",
                 .found = std::to_string(bytes.size())};
  }
  Llama2cFile file{.metadata = metadata_of(header), .vocab_size = header.vocab(), .tensors = layout.take()};
  return file;
}

bool fits_llama2c_tokenizer(std::string_view bytes, std::int64_t vocab_size) {
  std::size_t position = 4;
  for (std::int64_t i = 0; i < vocab_size; ++i) {
    std::uint32_t length = 0;
    if (bytes.size() < position + 8) return false;
    std::memcpy(&length, bytes.data() + position + 4, sizeof(length));
    position += 8;
    if (length > bytes.size() - position) return false;
    position += length;
  }
  return position == bytes.size();
}

}  // namespace maestrale::files
