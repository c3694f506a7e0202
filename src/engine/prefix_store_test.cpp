#include "engine/prefix_store.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <optional>

#include "engine/test_support.h"

namespace maestrale::engine {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::byte>;

constexpr auto kLong = std::chrono::seconds(60);

// A folder, a pool of eight pages filled with noise, and a history of four pages.
class PrefixStores : public testing::Test {
 protected:
  PrefixStores() {
    folder_ = fs::path(testing::TempDir()) / ("maestrale_prefix_store_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    make_pool({.layers = 2, .kv_heads = 2, .head_size = 20});
  }
  ~PrefixStores() override {
    store_.reset();
    fs::remove_all(folder_);
  }

  void make_pool(const ops::KvShape& shape) {
    kv_.emplace(std::move(ops::KvCache::create(shape, 8)).value());
    sequence_ = kv_->open_sequence();
    EXPECT_TRUE(kv_->reserve(sequence_, 8 * ops::kPageTokens).ok());
    for (std::int64_t page = 0; page < 8; ++page) {
      Bytes noise(shape.page_bytes());
      for (std::size_t i = 0; i < noise.size(); ++i)
        noise[i] = static_cast<std::byte>(256 * uniform(7, static_cast<std::uint64_t>(page), i));
      kv_->parts(kv_->page(sequence_, page)).copy_from(noise.data());
    }
  }
  void open(std::uint64_t model = 1, std::uint64_t bytes = 1 << 30) {
    store_.reset();
    EXPECT_TRUE(PrefixStore::make_folder(folder_).ok());
    PrefixStoreOptions options{.folder = folder_, .bytes = bytes, .retry_after = retry_after_};
    options.report = [this](const std::string& line) { reports_.push_back(line); };
    store_ = std::move(PrefixStore::open(options, {model, 5}, kv_->shape().page_bytes(), 8)).value();
  }
  // Where page `index` of the history belongs.
  PageReading::Page page(std::int64_t index, const std::string& salt = "a", std::int64_t to = -1) const {
    return {.origin = origin_of(salt, keys_of(salt), tokens_, index),
            .to = kv_->parts(kv_->page(sequence_, to < 0 ? index : to))};
  }
  std::vector<PrefixKey> keys_of(const std::string& salt = "a") const {
    std::vector<PrefixKey> keys;
    extend_keys(prefix_root(salt), tokens_, keys);
    return keys;
  }
  void write(std::int64_t count, const std::string& salt = "a") {
    for (std::int64_t index = 0; index < count; ++index) {
      const auto offered = page(index, salt);
      EXPECT_TRUE(store_->offer(offered.origin, offered.to));
    }
    store_->flush();
  }
  // How many pages come back, into pages 4 … of the pool, where they are compared.
  std::int64_t read(std::vector<PageReading::Page> pages) {
    const auto reading = store_->read(std::move(pages));
    store_->await(*reading, kLong);
    EXPECT_TRUE(reading->over);
    return reading->done;
  }
  std::int64_t read(std::int64_t count, const std::string& salt = "a") {
    std::vector<PageReading::Page> pages;
    for (std::int64_t index = 0; index < count; ++index) pages.push_back(page(index, salt, index + 4));
    return read(std::move(pages));
  }
  Bytes bytes(std::int64_t index) const {
    Bytes out(kv_->shape().page_bytes());
    kv_->parts(kv_->page(sequence_, index)).copy_to(out.data());
    return out;
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      if (entry.is_regular_file()) found.push_back(entry.path());
    }
    return found;
  }
  fs::path file_of(std::int64_t index, std::uint64_t model = 1) const {
    const auto keys = keys_of();
    return folder_ / Digest{model, 5}.hex() / (keys[static_cast<std::size_t>(index)].hex() + ".kv");
  }

  fs::path folder_;
  std::optional<ops::KvCache> kv_;
  int sequence_ = 0;
  std::vector<text::TokenId> tokens_ = some_tokens(4 * ops::kPageTokens, 1000);
  std::chrono::milliseconds retry_after_ = std::chrono::minutes(1);
  std::vector<std::string> reports_;
  std::unique_ptr<PrefixStore> store_;
};

TEST_F(PrefixStores, TheSameBytesComeBackAfterARestart) {
  using ops::KvType;
  for (const ops::KvShape& shape :
       {ops::KvShape{.layers = 2, .kv_heads = 2, .head_size = 20, .type = KvType::kF16},
        ops::KvShape{.layers = 2, .kv_heads = 2, .head_size = 40, .type = KvType::kQ8},
        ops::KvShape{.layers = 1, .kv_heads = 1, .head_size = 16, .type = KvType::kF32},
        ops::KvShape{.layers = 3, .kv_heads = 1, .head_size = 64, .latent = true, .type = KvType::kF16},
        ops::KvShape{.layers = 2,
        .kv_heads = 1,
        .head_size = 64,
        .latent = true,
        .index_size = 32,
        .type = KvType::kQ8}}) {
    store_.reset();
    fs::remove_all(folder_);
    make_pool(shape);
    open();
    write(4);
    EXPECT_EQ(store_->stats().written, 4u);
    open();
    EXPECT_EQ(store_->find(keys_of(), 0), 4);
    EXPECT_EQ(store_->find(keys_of(), 2), 4);
    EXPECT_EQ(read(4), 4);
    for (std::int64_t index = 0; index < 4; ++index) EXPECT_EQ(bytes(index + 4), bytes(index)) << index;
    EXPECT_EQ(store_->stats().read, 4u);
    EXPECT_GT(store_->stats().bytes, 4 * shape.page_bytes());
  }
  EXPECT_TRUE(reports_.empty());
}

TEST_F(PrefixStores, OthersFindNothing) {
  open();
  write(3);
  EXPECT_EQ(store_->find(keys_of("b"), 0), 0);
  EXPECT_EQ(read(1, "b"), 0);
  open(2);  // another model
  EXPECT_EQ(store_->find(keys_of(), 0), 0);
  EXPECT_EQ(read(1), 0);
  tokens_[70] += 1;
  open();
  EXPECT_EQ(store_->find(keys_of(), 0), 1);
}

// The name says what is in it, and is not believed.
TEST_F(PrefixStores, AFileUnderAnothersNameIsNotRead) {
  open();
  write(2);
  open(2);
  write(1);
  open();
  const fs::path own = file_of(0);
  for (const fs::path& other : {file_of(1), file_of(0, 2)}) {
    fs::copy_file(other, own, fs::copy_options::overwrite_existing);
    const Bytes before = bytes(4);
    EXPECT_EQ(read(1), 0);
    EXPECT_EQ(bytes(4), before);
    EXPECT_FALSE(fs::exists(own));
  }
}

TEST_F(PrefixStores, DamageIsAMissAndTheFileGoes) {
  open();
  for (const int how : {0, 1, 2, 3, 4, 5}) {
    write(2);
    const fs::path path = file_of(0);
    const auto size = static_cast<std::streamoff>(fs::file_size(path));
    if (how == 0) fs::resize_file(path, 0);
    if (how == 1) fs::resize_file(path, static_cast<std::uintmax_t>(size - 1));
    if (how == 2) fs::resize_file(path, static_cast<std::uintmax_t>(size + 1));
    if (how >= 3) {  // one bit of the head, the middle or the end
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      const std::streamoff at = how == 3 ? 20 : how == 4 ? size / 2 : size - 1;
      file.seekg(at);
      const int byte = file.get();
      file.seekp(at);
      file.put(static_cast<char>(byte ^ 4));
    }
    const Bytes before = bytes(4);
    EXPECT_EQ(read(2), 0) << how;
    EXPECT_EQ(bytes(4), before) << how;
    EXPECT_FALSE(fs::exists(path)) << how;
    EXPECT_EQ(store_->find(keys_of(), 0), 0) << how;
  }
  EXPECT_EQ(store_->stats().damaged, 6u);
  ASSERT_EQ(reports_.size(), 1u);  // said once
  EXPECT_NE(reports_[0].find("damaged"), std::string::npos);
}

TEST_F(PrefixStores, AMissingFileIsAMiss) {
  open();
  write(3);
  fs::remove(file_of(1));
  EXPECT_EQ(read(3), 1);
  EXPECT_EQ(store_->find(keys_of(), 0), 1);
  write(3);
  EXPECT_EQ(read(3), 3);
  fs::remove_all(file_of(0).parent_path());  // another's clearing up
  EXPECT_EQ(read(3), 0);
  write(1);
  EXPECT_EQ(read(1), 1);
  EXPECT_TRUE(reports_.empty());
}

TEST_F(PrefixStores, TheLongestUnusedGoWhereThereAreTooManyBytes) {
  open();
  write(1);
  const std::uint64_t one = store_->stats().bytes;
  open(1, 6 * one);
  write(4);
  write(2, "b");
  EXPECT_EQ(store_->stats().bytes, 6 * one);
  store_->touch(keys_of("a"));
  store_->flush();
  write(3, "c");
  EXPECT_LE(store_->stats().bytes, 6 * one);
  EXPECT_EQ(files().size(), store_->stats().bytes / one);
  EXPECT_EQ(store_->find(keys_of("b"), 0), 0);  // nobody asked again
  EXPECT_GE(store_->find(keys_of("a"), 0), 1);  // its beginning stays longest
  EXPECT_EQ(store_->find(keys_of("c"), 0), 3);
  open(2, 6 * one);  // another model in the same folder
  write(4);
  EXPECT_LE(files().size(), 6u);
  EXPECT_EQ(store_->find(keys_of(), 0), 4);
}

TEST_F(PrefixStores, AFullDiskPausesWritingAndNothingElse) {
  open();
  write(1);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit tight = before;
  tight.rlim_cur = 5000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  write(3);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(store_->stats().written, 1u);
  EXPECT_EQ(store_->stats().skipped, 2u);
  EXPECT_EQ(files().size(), 1u);  // no halves
  ASSERT_EQ(reports_.size(), 1u);
  EXPECT_NE(reports_[0].find("not written for now"), std::string::npos);
  EXPECT_EQ(read(1), 1);
  write(4);  // taken, and forgotten
  EXPECT_EQ(files().size(), 1u);
}

TEST_F(PrefixStores, ADiskThatHasRoomAgainIsWrittenAgain) {
  retry_after_ = std::chrono::milliseconds(0);
  open();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit tight = before;
  tight.rlim_cur = 5000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  write(2);
  EXPECT_EQ(files().size(), 0u);
  EXPECT_EQ(reports_.size(), 1u);  // said once, tried twice
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  write(3);
  EXPECT_EQ(files().size(), 3u);
  EXPECT_EQ(read(3), 3);
  ASSERT_EQ(reports_.size(), 2u);
  EXPECT_NE(reports_[1].find("written again"), std::string::npos);
}

TEST_F(PrefixStores, OnlyThisUserMayRead) {
  open();
  write(1);
  const auto mode = [](const fs::path& path) {
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return info.st_mode & 0777;
  };
  EXPECT_EQ(mode(folder_), 0700u);
  EXPECT_EQ(mode(file_of(0).parent_path()), 0700u);
  EXPECT_EQ(mode(file_of(0)), 0600u);
  EXPECT_EQ(::chmod(folder_.c_str(), 0777), 0);
  EXPECT_EQ(PrefixStore::make_folder(folder_).error().kind, ErrorKind::kUsage);
  EXPECT_EQ(PrefixStore::make_folder(file_of(0)).error().what, "this is not a folder");
  EXPECT_EQ(PrefixStore::make_folder(folder_ / "not" / "there").error().kind, ErrorKind::kIo);
  EXPECT_EQ(::chmod(folder_.c_str(), 0700), 0);
}

TEST_F(PrefixStores, ALimitThatHoldsNothingIsRefused) {
  const PrefixStoreOptions options{.folder = folder_, .bytes = 1000};
  const auto store = PrefixStore::open(options, {1, 5}, kv_->shape().page_bytes(), 8);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().kind, ErrorKind::kUsage);
}

TEST_F(PrefixStores, AFullQueueRefusesAndTakesAgain) {
  EXPECT_TRUE(PrefixStore::make_folder(folder_).ok());
  PrefixStoreOptions options{.folder = folder_};
  store_ = std::move(PrefixStore::open(options, {1, 5}, kv_->shape().page_bytes(), 1)).value();
  std::int64_t taken = 0;
  for (int tries = 0; taken < 4 && tries < 1000000; ++tries) {
    const auto offered = page(taken);
    if (store_->offer(offered.origin, offered.to)) {
      ++taken;
    } else {
      std::this_thread::yield();
    }
  }
  EXPECT_EQ(taken, 4);
  store_.reset();  // writes what waits
  EXPECT_EQ(files().size(), 4u);
}

}  // namespace
}  // namespace maestrale::engine
