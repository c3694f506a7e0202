// PrefixStore: KV pages in a folder, so that prompts that were computed once are read after a restart. One
// file a page (engine/page_file.h), below a folder for each program, model and type of cache. A thread writes
// and another reads: the engine's thread never waits for the disk. Several programs and models may share the
// folder. Whatever is damaged or missing is as good as not there.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "base/memory.h"
#include "base/result.h"
#include "engine/page_file.h"
#include "ops/kv_cache.h"

namespace maestrale::engine {

struct PrefixStoreOptions {
  std::filesystem::path folder;
  std::uint64_t bytes = std::uint64_t{8} << 30;  // of all files in it; then the longest unused go
  std::chrono::milliseconds retry_after = std::chrono::minutes(1);  // the disk was full or failed
  // Called from the store's threads: what has gone wrong, each kind once, and that it is written again.
  std::function<void(const std::string&)> report = {};
};

struct PrefixStoreStats {
  std::uint64_t written = 0, read = 0;     // pages
  std::uint64_t skipped = 0;               // pages that were not written: the disk was too slow, or is full
  std::uint64_t damaged = 0, evicted = 0;  // files that were deleted
  std::uint64_t bytes = 0;                 // of all files in the folder, as last seen
};

// Pages that are being read, one after the other.
struct PageReading {
  struct Page {
    PageOrigin origin;
    ops::PageParts to;  // stays writable until `over`
  };
  std::vector<Page> pages;
  std::atomic<std::int64_t> done{0};  // the first so many have been read
  std::atomic<bool> over{false};      // there will be no more
};

class PrefixStore {
 public:
  // The folder is made where it is missing, for this user alone. kUsage where others may write to it.
  static Status make_folder(const std::filesystem::path& folder);
  // The folder is there. Room for `waiting` pages on their way to the disk. kUsage: no page fits into
  // options.bytes; kIo.
  static Result<std::unique_ptr<PrefixStore>> open(const PrefixStoreOptions& options, const Digest& model,
                                                   std::size_t page_bytes, std::int64_t waiting);
  // Pages that open() takes memory for, and one more; a step computes at most `rows` rows.
  static std::int64_t pages_in_memory(std::int64_t rows) { return rows / ops::kPageTokens + 5; }
  ~PrefixStore();  // writes what waits
  PrefixStore(const PrefixStore&) = delete;
  PrefixStore& operator=(const PrefixStore&) = delete;

  // None of these waits for the disk.
  // Of the pages from `from` on, where the first one ends that is not there.
  std::int64_t find(std::span<const PrefixKey> keys, std::int64_t from) const;
  // Copies a page that is to be written, unless it is there. False: no room yet, may be asked again.
  bool offer(PageOrigin origin, const ops::PageParts& page);
  bool has(const PrefixKey& key) const;
  // The first pages of a history have been used, all of these.
  void touch(std::vector<PrefixKey> keys);
  // The model is filled in.
  std::shared_ptr<PageReading> read(std::vector<PageReading::Page> pages);
  // Waits until some reading is over, or for so long.
  void await(const PageReading& reading, std::chrono::milliseconds most);
  void skip(std::int64_t pages);  // counts pages that nobody will offer again
  PrefixStoreStats stats() const;
  // Waits until what was offered has been written.
  void flush();

 private:
  struct Job {  // a page to write, or pages that were used
    int slot = -1;
    PageOrigin origin;
    std::vector<PrefixKey> used;
  };
  struct File;

  PrefixStore(PrefixStoreOptions options, const Digest& model, std::size_t page_bytes);
  std::filesystem::path path_of(const PrefixKey& key) const;
  std::span<std::byte> slot(int index) const;
  void write_pages();
  Status write(const Job& job);
  void mark_used(const std::vector<PrefixKey>& keys) const;
  void sweep();
  std::vector<File> scan() const;
  bool is_full() const;  // with the mutex
  void read_pages();
  bool read_page(const PageReading::Page& page, std::span<std::byte> bytes);
  void say(bool& said, const std::string& what);

  const PrefixStoreOptions options_;
  const Digest model_;
  const std::filesystem::path folder_;  // the model's own
  const std::size_t page_bytes_;
  HugeBuffer slots_;  // pages to write, and one that is being read
  int reading_slot_ = 0;
  std::uint64_t nonce_;        // the writer's own
  std::uint64_t unswept_ = 0;  // the writer's own: bytes written since it looked at the whole folder
  bool said_write_ = false;    // the writer's own
  bool said_read_ = false, said_damage_ = false;  // the reader's own

  mutable std::mutex mutex_;
  std::condition_variable to_write_, written_, to_read_, read_;
  std::unordered_set<PrefixKey, DigestHash> stored_, queued_;
  std::vector<int> free_slots_;
  std::deque<Job> jobs_;
  std::deque<std::shared_ptr<PageReading>> readings_;
  PrefixStoreStats stats_;
  bool writing_ = false, closed_ = false;
  bool full_ = false;  // the last page could not be written: no other is tried before retry_at_
  std::chrono::steady_clock::time_point retry_at_;
  std::atomic<bool> leave_{false};
  std::thread writer_, reader_;
};

}  // namespace maestrale::engine
