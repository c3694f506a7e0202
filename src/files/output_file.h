// OutputFile: written from front to back under PATH.partial, renamed to PATH by commit(). Without commit()
// the partial file goes away.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/result.h"

namespace maestrale::files {

class OutputFile {
 public:
  static Result<OutputFile> create(const std::filesystem::path& path);
  OutputFile() = default;
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;
  ~OutputFile();

  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text);
  Status write_zeros(std::uint64_t count);  // fewer than 4096
  std::uint64_t position() const { return position_; }
  Status commit();

 private:
  std::filesystem::path path_, partial_;
  int descriptor_ = -1;
  std::uint64_t position_ = 0;
};

}  // namespace maestrale::files
