#include "store/ledger.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <iterator>
#include <utility>

#include "store/schema.h"

namespace maestrale::store {
namespace {

constexpr std::chrono::milliseconds kBusy{200};  // of one write; a locked store is tried again anyway

}  // namespace

Result<std::unique_ptr<Ledger>> Ledger::start(const std::filesystem::path& path, LedgerOptions options) {
  auto store = TRY(open_store(path));
  auto* ledger = new Ledger(path, std::move(store), std::move(options));  // NOLINT: a private constructor
  return std::unique_ptr<Ledger>(ledger);
}

Ledger::Ledger(std::filesystem::path path, std::unique_ptr<Database> store, LedgerOptions options)
    : path_(std::move(path)), options_(std::move(options)), store_(std::move(store)) {
  thread_ = std::thread([this] { run(); });
}

Ledger::~Ledger() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  thread_.join();
  report_lost();
}

void Ledger::add(UsageRecord record) {
  {
    const std::lock_guard lock(mutex_);
    if (records_.size() + writing_ < options_.records) {
      records_.push_back(std::move(record));
    } else {
      add_to_sum(std::move(record));
    }
  }
  changed_.notify_all();
}

void Ledger::add_to_sum(UsageRecord record) {
  SumKey key{record.key_name, record.model, record.route, record.outcome};
  const auto found = sums_.find(key);
  if (found == sums_.end()) {
    if (sums_.size() >= options_.sums) {
      stats_.lost += static_cast<std::uint64_t>(record.requests);
      return;
    }
    sums_.emplace(std::move(key), std::move(record));
    return;
  }
  UsageRecord& sum = found->second;
  sum.time_s = record.time_s;
  sum.request_id.clear();
  sum.requests += record.requests;
  sum.prompt_tokens += record.prompt_tokens;
  sum.cached_tokens += record.cached_tokens;
  sum.completion_tokens += record.completion_tokens;
  sum.seconds += record.seconds;
}

// Sums wait until no record does: what is written can no longer be added to.
std::vector<UsageRecord> Ledger::take() {
  std::vector<UsageRecord> batch = std::exchange(records_, {});
  if (batch.empty()) {
    for (auto& [key, sum] : std::exchange(sums_, {})) batch.push_back(std::move(sum));
  }
  writing_ = batch.size();
  return batch;
}

Status Ledger::write(const std::vector<UsageRecord>& batch, std::chrono::milliseconds busy) {
  struct stat info {};
  // A file that was removed or moved away would take what is written with it.
  if (store_ != nullptr && ::stat(path_.c_str(), &info) != 0) store_.reset();
  if (store_ == nullptr) store_ = TRY(open_store(path_, {.busy = busy}));
  store_->set_busy(busy);
  const Status status = add_usage(*store_, batch);
  if (!status.ok() && status.error().kind != ErrorKind::kResource) store_.reset();
  return status;
}

void Ledger::run() {
  std::vector<UsageRecord> batch;  // stays the same until it is written, so that nothing is counted twice
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return closed_ || !batch.empty() || !records_.empty() || !sums_.empty(); });
    if (batch.empty()) batch = take();
    if (batch.empty()) return;
    const bool last = closed_;
    lock.unlock();
    const Status status = write(batch, last ? options_.last_wait : kBusy);
    if (status.ok() == failing_ && options_.report)
      options_.report(status.ok() ? std::nullopt : std::optional(status.error()));
    lock.lock();
    failing_ = !status.ok();
    if (!status.ok()) {
      ++stats_.failures;
      if (last) return;
      changed_.wait_for(lock, options_.retry, [this] { return closed_; });
      continue;
    }
    for (const UsageRecord& record : batch) stats_.written += static_cast<std::uint64_t>(record.requests);
    batch.clear();
    writing_ = 0;
    changed_.notify_all();
  }
}

void Ledger::report_lost() {
  const std::uint64_t left = stats().waiting;
  if (left == 0 || !options_.report) return;
  options_.report(Error{.kind = ErrorKind::kIo,
                        .what = fmt::format("the usage of {} requests could not be written", left),
                        .where = path_.string()});
}

bool Ledger::flush(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, most, [this] { return records_.empty() && sums_.empty() && writing_ == 0; });
}

LedgerStats Ledger::stats() const {
  const std::lock_guard lock(mutex_);
  LedgerStats stats = stats_;
  stats.waiting = records_.size() + sums_.size() + writing_;
  return stats;
}

}  // namespace maestrale::store
