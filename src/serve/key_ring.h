// KeyRing: the keys of a store, read again as soon as another program has changed them. Looking one up never
// touches the disk; where the store cannot be read, the keys stay as they were.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

#include "serve/api_key.h"

namespace maestrale::serve {

class KeyRing {
 public:
  // Called when reading begins to fail, and with nothing when it works again.
  using Report = std::function<void(const std::optional<Error>&)>;
  static Result<std::unique_ptr<KeyRing>> start(const std::filesystem::path& path, Report report);
  ~KeyRing();
  KeyRing(const KeyRing&) = delete;
  KeyRing& operator=(const KeyRing&) = delete;

  // Revoked and expired ones too; null where there is none. Any thread.
  std::shared_ptr<const ApiKey> find(const std::string& digest) const;
  std::uint64_t failures() const { return failures_; }

 private:
  using Keys = std::unordered_map<std::string, std::shared_ptr<const ApiKey>>;
  KeyRing(std::filesystem::path path, Report report) : path_(std::move(path)), report_(std::move(report)) {}
  Status read();
  void run();

  const std::filesystem::path path_;
  const Report report_;
  std::unique_ptr<store::Database> store_;  // of the thread
  std::int64_t version_ = -1;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Keys keys_;
  std::atomic<std::uint64_t> failures_{0};
  bool closed_ = false;
  std::thread thread_;
};

}  // namespace maestrale::serve
