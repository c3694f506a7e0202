// Files as bytes: read whole, map, write atomically. Errors name the path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace maestrale {

// A read-only private mapping of a whole regular file. Pages are read on first touch; the mapping keeps the
// file's contents reachable after the file is unlinked. Where others cut the file short, or the disk fails,
// what is missing reads as zeros instead of ending the program (SIGBUS is handled for mapped files alone),
// and check_unchanged() says so from then on: whoever computed with the bytes asks before the results are
// used.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::filesystem::path& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::filesystem::path& path() const { return path_; }

  // Error if the file on disk has another size or time of change than when it was mapped, or if some of it
  // could not be read. Cheap: one system call.
  Status check_unchanged() const;
  // Tells the kernel that all of it will be read soon.
  void will_need() const;
  // Tells the kernel that these mapped bytes are not needed for now: they leave this process's resident set.
  void release(std::span<const std::byte> part) const;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::int64_t changed_ns_ = 0;  // when the file was changed last, as it was mapped
  int descriptor_ = -1;
  int watch_ = -1;  // of its mapping, for faults
  std::filesystem::path path_;
};

// Whole file as a string; refuses more than max_bytes (kResource) and anything but a regular file.
Result<std::string> read_file(const std::filesystem::path& path, std::uint64_t max_bytes);

// Writes to PATH.partial, syncs, renames: PATH never holds half a file.
Status write_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace maestrale
