#include "engine/packed_file.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "files/output_file.h"
#include "kernels/panels.h"

namespace maestrale::engine {
namespace {

constexpr std::size_t kHeaderBytes = 4096;  // the weights begin on a page
constexpr char kMagic[16] = {'m', 'a', 'e', 's', 't', 'r', 'a', 'l', 'e', ' ', 'p', 'a', 'c', 'k', 'e', 'd'};

struct Header {
  char magic[sizeof(kMagic)];
  std::uint32_t version;
  std::uint32_t float_arithmetic;
  std::uint64_t source, order, bytes;
};

std::uint64_t mix(std::uint64_t hash, const void* data, std::size_t bytes) {
  return XXH3_64bits_withSeed(data, bytes, hash);
}

}  // namespace

std::uint64_t fingerprint(const files::Checkpoint& checkpoint) {
  constexpr std::size_t kSample = 256;
  std::uint64_t hash = checkpoint.tensors.size();
  for (const TensorView& tensor : checkpoint.tensors) {
    hash = mix(hash, tensor.name.data(), tensor.name.size());
    hash = mix(hash, &tensor.dtype, sizeof(tensor.dtype));
    hash = mix(hash, tensor.shape.data(), tensor.shape.size() * sizeof(tensor.shape[0]));
    const std::size_t part = std::min(kSample, tensor.data.size());
    hash = mix(hash, tensor.data.data(), part);
    hash = mix(hash, tensor.data.data() + tensor.data.size() - part, part);
  }
  return hash;
}

Status write_packed(const std::filesystem::path& path, const PackedIdentity& identity,
                    std::span<const std::byte> weights) {
  Header header{.magic = {},
                .version = kernels::kPanelVersion,
                .float_arithmetic = identity.float_arithmetic ? 1u : 0u,
                .source = identity.source,
                .order = identity.order,
                .bytes = identity.bytes};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  std::string page(kHeaderBytes, '\0');
  std::memcpy(page.data(), &header, sizeof(header));
  files::OutputFile file = TRY(files::OutputFile::create(path));
  TRY(file.write(page));
  TRY(file.write(weights));
  return file.commit();
}

Error PackedFile::refusal(const std::string& what, const std::string& expected,
                          const std::string& found) const {
  return Error{
      .what = what,
      .where = file_.path().string(),
      .expected = expected,
      .found = found,
      .hint = "build it anew: maestrale repack " + model_.string() + " --out " + file_.path().string()};
}

Result<PackedFile> PackedFile::open(const std::filesystem::path& path, const std::filesystem::path& model,
                                    const PackedIdentity& expected) {
  PackedFile packed;
  packed.file_ = TRY(MappedFile::open(path));
  packed.model_ = model;
  const auto bytes = packed.file_.bytes();
  Header header{};
  if (bytes.size() >= kHeaderBytes) std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0)
    return packed.refusal("this is not a file of packed weights", "", "");
  if (header.version != kernels::kPanelVersion) {
    return packed.refusal("packed by another version of maestrale",
                          "layout " + std::to_string(kernels::kPanelVersion),
                          "layout " + std::to_string(header.version));
  }
  if (header.source != expected.source) return packed.refusal("packed from another model", "", "");
  if ((header.float_arithmetic != 0) != expected.float_arithmetic)
    return packed.refusal("packed for another arithmetic", "", "");
  if (header.bytes != expected.bytes || bytes.size() - kHeaderBytes != header.bytes) {
    return packed.refusal("packed weights of another size", std::to_string(expected.bytes) + " bytes",
                          std::to_string(bytes.size() - kHeaderBytes) + " bytes");
  }
  packed.identity_ = expected;
  packed.identity_.order = header.order;
  packed.weights_ = bytes.subspan(kHeaderBytes);
  packed.file_.will_need();
  return packed;
}

Status PackedFile::check_order(std::uint64_t order) const {
  if (order == identity_.order) return {};
  return refusal("packed by another version of maestrale", "matrices in this version's order",
                 "another order");
}

}  // namespace maestrale::engine
