#include "app/stream_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "app/render.h"

namespace maestrale::app {
namespace {

Error failed(const std::string& path, std::string_view doing) {
  return Error{.kind = ErrorKind::kIo,
               .what = fmt::format("cannot {}: {}", doing, std::strerror(errno)),
               .where = path};
}

}  // namespace

Result<StreamFile> StreamFile::create(const std::string& path) {
  if (path == "-") return StreamFile(path, -1);
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  const bool device = std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
  const std::string name = device ? path : path + ".partial";
  const int descriptor = ::open(name.c_str(), O_WRONLY | O_CREAT | (device ? 0 : O_TRUNC) | O_CLOEXEC, 0666);
  if (descriptor < 0) return failed(name, "create");
  return StreamFile(path, descriptor, device);
}

StreamFile::StreamFile(StreamFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      device_(other.device_) {}

StreamFile::~StreamFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!device_) ::unlink(partial().c_str());
}

Status StreamFile::write(std::string_view bytes) {
  if (is_stdout()) return write_out(bytes);
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed(path_, "write");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Status StreamFile::commit() {
  if (is_stdout()) return {};
  if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != ENOTSUP) return failed(path_, "write");
  if (::close(std::exchange(descriptor_, -1)) != 0) return failed(path_, "write");
  if (device_) return {};
  if (std::rename(partial().c_str(), path_.c_str()) != 0) return failed(path_, "rename");
  return {};
}

}  // namespace maestrale::app
