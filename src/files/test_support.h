// What the tests of this room share: where outside data lies, and small GGUF and safetensors files in memory.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace maestrale::files {

// Empty where there is no such folder; tests then skip.
inline std::filesystem::path shared_folder(std::string_view inside) {
  const char* set = std::getenv("MAESTRALE_SHARED");
  const std::filesystem::path folder = std::filesystem::path(set != nullptr ? set : "../shared") / inside;
  return std::filesystem::exists(folder) ? folder : std::filesystem::path();
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// A fresh folder for one test.
inline std::filesystem::path fresh_folder(const std::string& name) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / ("maestrale_files_" + name);
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

// Writes little-endian values one after the other.
class Bytes {
 public:
  template <class T>
  Bytes& put(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  Bytes& raw(std::string_view text) {
    out_.append(text);
    return *this;
  }
  Bytes& string(std::string_view text) { return put<std::uint64_t>(text.size()).raw(text); }
  Bytes& pad(std::size_t alignment) {
    out_.resize((out_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  const std::string& str() const { return out_; }

 private:
  std::string out_;
};

}  // namespace maestrale::files
