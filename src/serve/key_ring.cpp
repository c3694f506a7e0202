#include "serve/key_ring.h"

#include "store/schema.h"

namespace maestrale::serve {
namespace {

constexpr std::chrono::milliseconds kLook{200};  // how soon a revoked key stops working

}  // namespace

Result<std::unique_ptr<KeyRing>> KeyRing::start(const std::filesystem::path& path, Report report) {
  std::unique_ptr<KeyRing> ring(new KeyRing(path, std::move(report)));  // NOLINT: a private constructor
  TRY(ring->read());
  ring->thread_ = std::thread([made = ring.get()] { made->run(); });
  return ring;
}

KeyRing::~KeyRing() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Status KeyRing::read() {
  if (store_ == nullptr) {
    version_ = -1;
    store_ = TRY(store::open_store(path_));
  }
  const std::int64_t version = TRY(store::data_version(*store_));
  if (version == version_) return {};
  Keys keys;
  for (const store::StoredKey& key : TRY(store::list_keys(*store_)))
    keys.emplace(key.digest, std::make_shared<ApiKey>(api_key_of(key)));
  version_ = version;
  const std::lock_guard lock(mutex_);
  keys_ = std::move(keys);
  return {};
}

void KeyRing::run() {
  bool failing = false;
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kLook, [this] { return closed_; })) {
    lock.unlock();
    const Status status = read();
    if (status.ok() == failing && report_)
      report_(status.ok() ? std::nullopt : std::optional(status.error()));
    failing = !status.ok();
    if (failing) {
      ++failures_;
      if (status.error().kind != ErrorKind::kResource) store_.reset();
    }
    lock.lock();
  }
}

std::shared_ptr<const ApiKey> KeyRing::find(const std::string& digest) const {
  const std::lock_guard lock(mutex_);
  const auto found = keys_.find(digest);
  return found == keys_.end() ? nullptr : found->second;
}

}  // namespace maestrale::serve
