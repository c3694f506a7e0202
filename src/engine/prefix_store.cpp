#include "engine/prefix_store.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <optional>
#include <random>
#include <system_error>
#include <utility>

namespace maestrale::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".kv";
constexpr std::size_t kMostTouches = 1024;           // that wait
constexpr auto kPartialAge = std::chrono::hours(1);  // then its writer is taken to be dead

Error io_error(const std::string& what, const fs::path& path) {
  const int code = errno;
  return {.kind = ErrorKind::kIo, .what = what + ": " + std::strerror(code), .where = path.string()};
}

Status make_private(const fs::path& folder) {
  if (::mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return io_error("cannot make the folder", folder);
}

std::optional<PrefixKey> key_of(const fs::path& path) {
  if (path.extension() != kExtension) return std::nullopt;
  return digest_from_hex(path.stem().string());
}

// What makes a page's name unlike those of other writers.
std::uint64_t random_number() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

// What a folder holds: nothing where it cannot be read.
std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::vector<fs::directory_entry> entries;
  std::error_code failed;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end; entry.increment(failed))
    entries.push_back(*entry);
  return entries;
}

}  // namespace

struct PrefixStore::File {
  fs::path path;
  std::uint64_t bytes = 0;
  fs::file_time_type used;
  std::optional<PrefixKey> key;  // where it is this model's
};

Status PrefixStore::make_folder(const fs::path& folder) {
  TRY(make_private(folder));
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) return io_error("cannot look at the folder", folder);
  const bool own = S_ISDIR(info.st_mode) && info.st_uid == ::geteuid() && (info.st_mode & 022) == 0;
  if (own) return {};
  return Error{.kind = ErrorKind::kUsage,
               .what = S_ISDIR(info.st_mode) ? "others could write to the folder" : "this is not a folder",
               .where = folder.string(),
               .expected = "a folder of this user, which nobody else may write to (chmod 700)"};
}

Result<std::unique_ptr<PrefixStore>> PrefixStore::open(const PrefixStoreOptions& options, const Digest& model,
                                                       std::size_t page_bytes, std::int64_t waiting) {
  if (page_bytes > options.bytes / 2) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "the prefix store is too small for this model",
                 .where = options.folder.string(),
                 .expected = fmt::format("at least {} bytes, two pages", 2 * page_bytes),
                 .found = std::to_string(options.bytes)};
  }
  std::unique_ptr<PrefixStore> store(
      new PrefixStore(options, model, page_bytes));  // NOLINT: the constructor is private
  TRY(make_private(store->folder_));
  store->slots_ = TRY(HugeBuffer::allocate(page_bytes * static_cast<std::size_t>(waiting + 1)));
  store->reading_slot_ = static_cast<int>(waiting);
  for (int index = 0; index < waiting; ++index) store->free_slots_.push_back(index);
  store->sweep();
  store->writer_ = std::thread([raw = store.get()] { raw->write_pages(); });
  store->reader_ = std::thread([raw = store.get()] { raw->read_pages(); });
  return store;
}

PrefixStore::PrefixStore(PrefixStoreOptions options, const Digest& model, std::size_t page_bytes)
    : options_(std::move(options)),
      model_(model),
      folder_(options_.folder / model.hex()),
      page_bytes_(page_bytes),
      nonce_(random_number()) {}

PrefixStore::~PrefixStore() {
  leave_ = true;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  to_write_.notify_all();
  to_read_.notify_all();
  if (writer_.joinable()) writer_.join();
  if (reader_.joinable()) reader_.join();
}

fs::path PrefixStore::path_of(const PrefixKey& key) const {
  return folder_ / (key.hex() + std::string(kExtension));
}

std::span<std::byte> PrefixStore::slot(int index) const {
  return {slots_.data() + static_cast<std::size_t>(index) * page_bytes_, page_bytes_};
}

// --- the engine's thread ---

std::int64_t PrefixStore::find(std::span<const PrefixKey> keys, std::int64_t from) const {
  const std::lock_guard lock(mutex_);
  while (from < std::ssize(keys) && stored_.contains(keys[static_cast<std::size_t>(from)])) ++from;
  return from;
}

bool PrefixStore::is_full() const { return full_ && std::chrono::steady_clock::now() < retry_at_; }

bool PrefixStore::has(const PrefixKey& key) const {
  const std::lock_guard lock(mutex_);
  return is_full() || stored_.contains(key) || queued_.contains(key);
}

bool PrefixStore::offer(PageOrigin origin, const ops::PageParts& page) {
  int index = -1;
  {
    const std::lock_guard lock(mutex_);
    if (is_full() || stored_.contains(origin.key) || queued_.contains(origin.key)) return true;
    if (free_slots_.empty()) return false;
    index = free_slots_.back();
    free_slots_.pop_back();
    queued_.insert(origin.key);
  }
  page.copy_to(slot(index).data());
  origin.model = model_;
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({.slot = index, .origin = std::move(origin), .used = {}});
  }
  to_write_.notify_one();
  return true;
}

void PrefixStore::touch(std::vector<PrefixKey> keys) {
  {
    const std::lock_guard lock(mutex_);
    if (jobs_.size() > kMostTouches) return;
    jobs_.push_back({.slot = -1, .origin = {}, .used = std::move(keys)});
  }
  to_write_.notify_one();
}

std::shared_ptr<PageReading> PrefixStore::read(std::vector<PageReading::Page> pages) {
  auto reading = std::make_shared<PageReading>();
  reading->pages = std::move(pages);
  for (PageReading::Page& page : reading->pages) page.origin.model = model_;
  {
    const std::lock_guard lock(mutex_);
    readings_.push_back(reading);
  }
  to_read_.notify_one();
  return reading;
}

void PrefixStore::await(const PageReading& reading, std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  read_.wait_for(lock, most, [&] { return reading.over.load(); });
}

void PrefixStore::skip(std::int64_t pages) {
  const std::lock_guard lock(mutex_);
  stats_.skipped += static_cast<std::uint64_t>(pages);
}

PrefixStoreStats PrefixStore::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void PrefixStore::flush() {
  std::unique_lock lock(mutex_);
  written_.wait(lock, [this] { return jobs_.empty() && !writing_; });
}

// --- the writer ---

void PrefixStore::write_pages() {
  std::unique_lock lock(mutex_);
  for (;;) {
    writing_ = false;
    if (jobs_.empty()) written_.notify_all();
    to_write_.wait(lock, [this] { return closed_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    writing_ = true;
    const bool full = is_full();
    lock.unlock();
    if (job.slot < 0) {
      mark_used(job.used);
      lock.lock();
      continue;
    }
    const Status status = full ? Status() : write(job);
    if (!status.ok()) {
      say(said_write_,
          fmt::format("the prefix store is not written for now: {}; what it has is read, writing is tried "
                      "again every {} s",
                      status.error().render(), std::chrono::duration<double>(options_.retry_after).count()));
    } else if (!full && std::exchange(said_write_, false) && options_.report) {
      options_.report("the prefix store is written again");
    }
    const std::uint64_t bytes = PageFile::head_bytes(job.origin) + page_bytes_;
    lock.lock();
    free_slots_.push_back(job.slot);
    queued_.erase(job.origin.key);
    full_ = full || !status.ok();
    if (!status.ok()) retry_at_ = std::chrono::steady_clock::now() + options_.retry_after;
    if (full_) {
      ++stats_.skipped;
      continue;
    }
    stored_.insert(job.origin.key);
    ++stats_.written;
    stats_.bytes += bytes;
    unswept_ += bytes;
    if (stats_.bytes <= options_.bytes && unswept_ <= options_.bytes / 8) continue;
    lock.unlock();
    sweep();
    lock.lock();
  }
}

Status PrefixStore::write(const Job& job) {
  const fs::path path = path_of(job.origin.key);
  Status status = PageFile::write(path, job.origin, slot(job.slot), nonce_++);
  if (!status.ok() && !fs::exists(folder_)) {  // another program has taken away the empty folder
    TRY(make_private(folder_));
    status = PageFile::write(path, job.origin, slot(job.slot), nonce_++);
  }
  if (status.ok()) mark_used({job.origin.key});  // the system's own times are coarser
  return status;
}

// The time of a file's last change says when it was used: the beginning last, so that it stays longest.
void PrefixStore::mark_used(const std::vector<PrefixKey>& keys) const {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  constexpr long kSecond_ns = 1'000'000'000, kApart_ns = 1000;
  for (const PrefixKey& key : keys) {
    const timespec times[2] = {now, now};
    ::utimensat(AT_FDCWD, path_of(key).c_str(), times, AT_SYMLINK_NOFOLLOW);
    now.tv_nsec -= kApart_ns;
    if (now.tv_nsec >= 0) continue;
    now.tv_nsec += kSecond_ns;
    --now.tv_sec;
  }
}

// All pages of all models; what killed programs left over is deleted.
std::vector<PrefixStore::File> PrefixStore::scan() const {
  std::vector<File> files;
  std::error_code gone;
  for (const auto& model : entries_of(options_.folder)) {
    const std::string name = model.path().filename().string();
    if (!digest_from_hex(name) || model.symlink_status(gone).type() != fs::file_type::directory) continue;
    for (const auto& entry : entries_of(model.path())) {
      if (entry.symlink_status(gone).type() != fs::file_type::regular) continue;
      const auto used = entry.last_write_time(gone);
      if (gone) continue;
      const auto key = key_of(entry.path());
      if (is_partial_page(entry.path()) && fs::file_time_type::clock::now() - used > kPartialAge)
        fs::remove(entry.path(), gone);
      const std::uint64_t bytes = key ? entry.file_size(gone) : 0;
      if (!key || gone) continue;
      files.push_back({.path = entry.path(), .bytes = bytes, .used = used, .key = {}});
      if (name == folder_.filename()) files.back().key = key;
    }
  }
  return files;
}

// Deletes the longest unused until a sixteenth is free, where there are too many bytes.
void PrefixStore::sweep() {
  std::vector<File> files = scan();
  std::uint64_t bytes = 0, evicted = 0;
  for (const File& file : files) bytes += file.bytes;
  if (bytes > options_.bytes) {
    std::sort(files.begin(), files.end(), [](const File& a, const File& b) {
      return std::tie(a.used, a.path) < std::tie(b.used, b.path);
    });
    std::error_code failed;
    std::size_t gone = 0;
    for (; gone < files.size() && bytes > options_.bytes - options_.bytes / 16; ++gone) {
      fs::remove(files[gone].path, failed);
      bytes -= files[gone].bytes;
      ++evicted;
      const fs::path folder = files[gone].path.parent_path();
      if (folder != folder_) ::rmdir(folder.c_str());  // where it is empty
    }
    files.erase(files.begin(), files.begin() + static_cast<std::ptrdiff_t>(gone));
  }
  const std::lock_guard lock(mutex_);
  stored_.clear();
  for (const File& file : files) {
    if (file.key) stored_.insert(*file.key);
  }
  stats_.bytes = bytes;
  stats_.evicted += evicted;
  unswept_ = 0;
}

// --- the reader ---

void PrefixStore::read_pages() {
  const std::span<std::byte> bytes = slot(reading_slot_);
  std::unique_lock lock(mutex_);
  for (;;) {
    to_read_.wait(lock, [this] { return closed_ || !readings_.empty(); });
    if (closed_) return;
    const auto reading = std::move(readings_.front());
    readings_.pop_front();
    lock.unlock();
    for (const PageReading::Page& page : reading->pages) {
      if (leave_ || !read_page(page, bytes)) break;
      ++reading->done;
    }
    lock.lock();
    reading->over = true;
    read_.notify_all();
  }
}

bool PrefixStore::read_page(const PageReading::Page& page, std::span<std::byte> bytes) {
  const fs::path path = path_of(page.origin.key);
  const PageRead result = PageFile::read(path, page.origin, bytes);
  if (result == PageRead::kRead) page.to.copy_from(bytes.data());
  if (result == PageRead::kDamaged) {
    ::unlink(path.c_str());
    say(said_damage_, "the prefix store had a damaged file, which was deleted: " + path.string());
  }
  if (result == PageRead::kFailed) say(said_read_, "the prefix store cannot read a file: " + path.string());
  const std::lock_guard lock(mutex_);
  stats_.read += result == PageRead::kRead ? 1 : 0;
  stats_.damaged += result == PageRead::kDamaged ? 1 : 0;
  if (result != PageRead::kRead) stored_.erase(page.origin.key);
  return result == PageRead::kRead;
}

void PrefixStore::say(bool& said, const std::string& what) {
  if (!std::exchange(said, true) && options_.report) options_.report(what);
}

}  // namespace maestrale::engine
