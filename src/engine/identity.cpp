#include "engine/identity.h"

#include <fmt/core.h>

#include <bit>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <system_error>

#include "base/file.h"
#include "engine/packed_file.h"

namespace maestrale::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxNoteBytes = 64;

Result<std::int64_t> time_of(const fs::path& path) {
  std::error_code failed;
  const auto time = fs::last_write_time(path, failed);
  if (!failed) return static_cast<std::int64_t>(time.time_since_epoch().count());
  return Error{.kind = ErrorKind::kIo,
               .what = "cannot read the time of its last change: " + failed.message(),
               .where = path.string()};
}

// Of all its bytes. A note says what was found the last time, for this path, size and time.
Result<Digest> file_identity(const MappedFile& file, const fs::path& notes) {
  const std::int64_t time = TRY(time_of(file.path()));
  std::error_code ignored;
  const std::string place =
      fmt::format("{} {} {}", fs::absolute(file.path(), ignored).string(), file.bytes().size(), time);
  const fs::path note = notes / (digest_of(place).hex() + ".file");
  if (const auto text = read_file(note, kMaxNoteBytes); text.ok()) {
    if (const auto noted = digest_from_hex(*text)) return *noted;
  }
  file.will_need();
  const Digest digest = digest_of(file.bytes());
  file.release(file.bytes());
  if (TRY(time_of(file.path())) == time) (void)write_file(note, digest.hex());  // or it is read again
  return digest;
}

std::string matrix_text(const TensorView& matrix) {
  return fmt::format("{} {} {} {}\n", static_cast<int>(matrix.dtype), matrix.rows(), matrix.columns(),
                     digest_of(matrix.data).hex());
}

}  // namespace

Result<Digest> program_identity() {
  const MappedFile file = TRY(MappedFile::open("/proc/self/exe"));
  return digest_of(file.bytes());
}

Result<Digest> checkpoint_identity(const files::Checkpoint& checkpoint, const fs::path& notes) {
  std::string text = fmt::format("tensors {:x}\n", fingerprint(checkpoint));
  for (const MappedFile& file : checkpoint.mappings) text += TRY(file_identity(file, notes)).hex() + "\n";
  for (const HugeBuffer& buffer : checkpoint.buffers)
    text += digest_of(std::span<const std::byte>(buffer.data(), buffer.size())).hex() + "\n";
  text += json::serialize(checkpoint.metadata);
  return digest_of(text);
}

Digest adapter_identity(const files::Adapter& adapter) {
  std::string text = fmt::format("adapter {} {}\n", adapter.alpha, adapter.rank_stabilised);
  for (const auto& [name, pair] : adapter.pairs)
    text += name + ' ' + matrix_text(pair.a) + matrix_text(pair.b);
  return digest_of(text);
}

std::string adapters_text(std::span<const ops::AdapterChoice> choices, std::span<const Digest> adapters) {
  std::string text;
  for (const ops::AdapterChoice& choice : choices) {
    text += fmt::format("{}={:08x},", adapters[static_cast<std::size_t>(choice.adapter)].hex(),
                        std::bit_cast<std::uint32_t>(choice.scale));
  }
  return text;
}

std::string shape_text(const ops::KvShape& shape) {
  return fmt::format("{} {} {} {} {} {} {}", ops::kPageTokens, shape.layers, shape.kv_heads, shape.head_size,
                     shape.latent, shape.index_size, ops::kv_type_name(shape.type));
}

}  // namespace maestrale::engine
