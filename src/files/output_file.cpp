#include "files/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace maestrale::files {
namespace {

Error io_error(const std::string& what, const std::filesystem::path& path) {
  const int code = errno;
  return Error{.kind = ErrorKind::kIo, .what = what + ": " + std::strerror(code), .where = path.string()};
}

}  // namespace

Result<OutputFile> OutputFile::create(const std::filesystem::path& path) {
  OutputFile file;
  file.path_ = path;
  file.partial_ = path.string() + ".partial";
  file.descriptor_ = ::open(file.partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file.descriptor_ < 0) return io_error("cannot create", file.partial_);
  return file;
}

OutputFile::OutputFile(OutputFile&& other) noexcept { *this = std::move(other); }

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(partial_, other.partial_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(position_, other.position_);
  return *this;
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(partial_.c_str());
}

Status OutputFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error("cannot write", partial_);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    position_ += static_cast<std::uint64_t>(n);
  }
  return {};
}

Status OutputFile::write(std::string_view text) {
  return write(std::as_bytes(std::span(text.data(), text.size())));
}

Status OutputFile::write_zeros(std::uint64_t count) {
  static constexpr std::array<std::byte, 4096> kZeros{};
  CHECK(count < kZeros.size(), "padding is short");
  return write(std::span(kZeros).first(static_cast<std::size_t>(count)));
}

Status OutputFile::commit() {
  if (::fsync(descriptor_) != 0) return io_error("cannot sync", partial_);
  if (::rename(partial_.c_str(), path_.c_str()) != 0) return io_error("cannot rename into place", path_);
  ::close(std::exchange(descriptor_, -1));
  return {};
}

}  // namespace maestrale::files
