// Ledger: writes usage from a thread of its own, so that nobody waits for the disk. Where the store cannot be
// written, records wait in memory and are written when it can be again. Memory is bounded: beyond `records`,
// those of the same key, model, route and outcome are added up, so that no token is lost.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "store/usage.h"

namespace maestrale::store {

struct LedgerOptions {
  std::size_t records = 16384;                // that wait one by one
  std::size_t sums = 4096;                    // that wait added up; more are lost, and counted
  std::chrono::milliseconds retry{1000};      // after a write that failed
  std::chrono::milliseconds last_wait{5000};  // for a locked store, when the ledger ends
  // Called from the ledger's thread when writing begins to fail, and with nothing when it works again.
  std::function<void(const std::optional<Error>&)> report = {};
};

struct LedgerStats {
  std::uint64_t waiting = 0;   // records and sums in memory
  std::uint64_t written = 0;   // requests that stand in the store
  std::uint64_t failures = 0;  // writes that failed
  std::uint64_t lost = 0;      // requests
};

class Ledger {
 public:
  // Opens the store at once; later it is opened again where it fails.
  static Result<std::unique_ptr<Ledger>> start(const std::filesystem::path& path, LedgerOptions options = {});
  ~Ledger();  // writes what waits; what cannot be written then is lost, and reported
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Never waits for the disk. Any thread.
  void add(UsageRecord record);
  // Waits until everything added before has been written; false where it did not within this time.
  bool flush(std::chrono::milliseconds most);
  LedgerStats stats() const;

 private:
  using SumKey = std::tuple<std::string, std::string, std::string, std::string>;
  Ledger(std::filesystem::path path, std::unique_ptr<Database> store, LedgerOptions options);
  void run();
  Status write(const std::vector<UsageRecord>& batch, std::chrono::milliseconds busy);
  void add_to_sum(UsageRecord record);
  std::vector<UsageRecord> take();
  void report_lost();

  const std::filesystem::path path_;
  const LedgerOptions options_;
  std::unique_ptr<Database> store_;  // the thread's own

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<UsageRecord> records_;
  std::map<SumKey, UsageRecord> sums_;
  std::uint64_t writing_ = 0;  // records taken by the thread
  LedgerStats stats_;
  bool closed_ = false, failing_ = false;
  std::thread thread_;
};

}  // namespace maestrale::store
