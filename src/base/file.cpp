#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/mapping_faults.h"

namespace maestrale {
namespace {

Error io_error(const std::string& what, const std::filesystem::path& path) {
  const int code = errno;
  return Error{.kind = code == ENOENT ? ErrorKind::kNotFound : ErrorKind::kIo,
               .what = what + ": " + std::strerror(code),
               .where = path.string()};
}

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

struct FileFacts {
  std::size_t size = 0;
  std::int64_t changed_ns = 0;
};

Result<FileFacts> regular_file(int fd, const std::filesystem::path& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return io_error("cannot stat", path);
  if (!S_ISREG(info.st_mode)) {
    return Error{.kind = ErrorKind::kInvalidInput, .what = "not a regular file", .where = path.string()};
  }
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  return FileFacts{static_cast<std::size_t>(info.st_size),
                   std::int64_t{info.st_mtim.tv_sec} * kNanoseconds + info.st_mtim.tv_nsec};
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  MappedFile file;
  file.path_ = path;
  file.descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file.descriptor_ < 0) return io_error("cannot open", path);
  const FileFacts facts = TRY(regular_file(file.descriptor_, path));
  file.changed_ns_ = facts.changed_ns;
  if (facts.size == 0) return file;
  void* mapped = ::mmap(nullptr, facts.size, PROT_READ, MAP_PRIVATE, file.descriptor_, 0);
  if (mapped == MAP_FAILED) return io_error("cannot map", path);
  file.data_ = static_cast<const std::byte*>(mapped);
  file.size_ = facts.size;
  file.watch_ = TRY(watch_mapping(mapped, facts.size));
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(changed_ns_, other.changed_ns_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(watch_, other.watch_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (watch_ >= 0) forget_mapping(watch_);
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status MappedFile::check_unchanged() const {
  if (descriptor_ < 0) return {};
  const FileFacts now = TRY(regular_file(descriptor_, path_));
  Error error{
      .kind = ErrorKind::kIo, .what = "the file changed while it was in use", .where = path_.string()};
  error.hint = "start again with the file as it should be";
  if (now.size != size_) {
    error.expected = std::to_string(size_) + " bytes";
    error.found = std::to_string(now.size) + " bytes";
    return error;
  }
  if (now.changed_ns != changed_ns_) {
    error.expected = "contents as they were when it was opened";
    error.found = "written to since";
    return error;
  }
  if (watch_ >= 0 && mapping_faulted(watch_)) {
    error.what = "a part of the file could not be read";
    error.hint = "look at the disk, then start again";
    return error;
  }
  return {};
}

void MappedFile::will_need() const {
  if (size_ > 0) ::madvise(const_cast<std::byte*>(data_), size_, MADV_WILLNEED);
}

void MappedFile::release(std::span<const std::byte> part) const {
  if (part.empty()) return;
  constexpr std::uintptr_t kPage = 4096;
  const auto begin = (reinterpret_cast<std::uintptr_t>(part.data()) + kPage - 1) & ~(kPage - 1);
  const auto end = reinterpret_cast<std::uintptr_t>(part.data() + part.size()) & ~(kPage - 1);
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

Result<std::string> read_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return io_error("cannot open", path);
  const std::size_t size = TRY(regular_file(file.fd, path)).size;
  if (size > max_bytes) {
    return Error{.kind = ErrorKind::kResource,
                 .what = "file too large",
                 .where = path.string(),
                 .expected = "at most " + std::to_string(max_bytes) + " bytes",
                 .found = std::to_string(size) + " bytes"};
  }
  std::string text(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = ::read(file.fd, text.data() + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error("cannot read", path);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  text.resize(done);
  return text;
}

Status write_file(const std::filesystem::path& path, std::string_view bytes) {
  const std::filesystem::path partial = path.string() + ".partial";
  {
    const Descriptor file{::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    if (file.fd < 0) return io_error("cannot create", partial);
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::write(file.fd, bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return io_error("cannot write", partial);
      done += static_cast<std::size_t>(n);
    }
    if (::fsync(file.fd) != 0) return io_error("cannot sync", partial);
  }
  if (::rename(partial.c_str(), path.c_str()) != 0) return io_error("cannot rename into place", path);
  return {};
}

}  // namespace maestrale
