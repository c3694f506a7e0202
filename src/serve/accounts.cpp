#include "serve/accounts.h"

#include <chrono>
#include <ctime>

#include "store/schema.h"

namespace maestrale::serve {
namespace {

constexpr std::int64_t kDay_s = 86400;

double now_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

Accounts::Accounts() : limits_(now_s) {}

Result<std::unique_ptr<Accounts>> Accounts::open(const std::filesystem::path& path,
                                                 std::function<void(const std::string&)> report) {
  std::unique_ptr<Accounts> accounts(new Accounts());  // NOLINT: a private constructor
  {
    const auto store = TRY(store::open_store(path));
    const std::int64_t today = std::time(nullptr) / kDay_s * kDay_s;
    for (const auto& [key, tokens] : TRY(store::tokens_since(*store, today)))
      accounts->limits_.set_used_today(key, tokens);
  }
  const auto tell = [report = std::move(report)](const std::string& bad, const std::string& good) {
    return [report, bad, good](const std::optional<Error>& error) {
      if (report) report(error ? bad + ": " + error->render() : good);
    };
  };
  accounts->ledger_ =
      TRY(store::Ledger::start(path, {.report = tell("usage waits in memory, it cannot be written",
                                                     "usage is written to the store again")}));
  accounts->keys_ = TRY(KeyRing::start(
      path, tell("keys stay as they are, the store cannot be read", "keys are read from the store again")));
  return accounts;
}

}  // namespace maestrale::serve
