// A file written piece by piece beside its final name and renamed at the end, so that the name never holds
// half a file. Devices and pipes are written to directly; "-" is standard output.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace maestrale::app {

class StreamFile {
 public:
  static Result<StreamFile> create(const std::string& path);
  StreamFile(StreamFile&& other) noexcept;
  StreamFile& operator=(StreamFile&&) = delete;
  ~StreamFile();  // without commit() nothing is left behind

  Status write(std::string_view bytes);
  Status commit();

 private:
  StreamFile(std::string path, int descriptor, bool device = false)
      : path_(std::move(path)), descriptor_(descriptor), device_(device) {}
  bool is_stdout() const { return path_ == "-"; }
  std::string partial() const { return path_ + ".partial"; }

  std::string path_;
  int descriptor_ = -1;
  bool device_ = false;
};

}  // namespace maestrale::app
