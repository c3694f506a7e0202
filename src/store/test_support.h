// For tests: a folder that goes away, and a second program that uses the same file.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "store/schema.h"

namespace maestrale::store {

class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "store-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::filesystem::path operator/(const char* name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::unique_ptr<Database> open_or_fail(const std::filesystem::path& path,
                                              const DatabaseOptions& options = {}) {
  auto store = open_store(path, options);
  EXPECT_TRUE(store.ok()) << store.error().render();
  return store.ok() ? std::move(store).value() : nullptr;
}

// Another program: raw SQLite, which knows nothing of ours.
class Stranger {
 public:
  explicit Stranger(const std::filesystem::path& path) { sqlite3_open(path.c_str(), &handle_); }
  ~Stranger() { sqlite3_close(handle_); }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;
  void run(const char* sql) {
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(handle_, sql, nullptr, nullptr, &message), SQLITE_OK)
        << (message != nullptr ? message : "");
    sqlite3_free(message);
  }

 private:
  sqlite3* handle_ = nullptr;
};

}  // namespace maestrale::store
