// Accounts: the keys of a store, their limits, and the ledger of what was used.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "serve/key_ring.h"
#include "serve/limits.h"
#include "serve/metrics.h"
#include "store/ledger.h"

namespace maestrale::serve {

class Accounts {
 public:
  // `report` is called from other threads with a line for the operator when the store fails and when it works
  // again.
  static Result<std::unique_ptr<Accounts>> open(const std::filesystem::path& path,
                                                std::function<void(const std::string&)> report);

  const KeyRing& keys() const { return *keys_; }
  Limits& limits() { return limits_; }
  store::Ledger& ledger() { return *ledger_; }
  StoreStats stats() const { return {.ledger = ledger_->stats(), .key_failures = keys_->failures()}; }

 private:
  Accounts();
  Limits limits_;
  std::unique_ptr<store::Ledger> ledger_;
  std::unique_ptr<KeyRing> keys_;
};

}  // namespace maestrale::serve
