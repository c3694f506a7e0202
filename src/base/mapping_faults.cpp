#include "base/mapping_faults.h"

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>

namespace maestrale {
namespace {

constexpr std::uintptr_t kPage = 4096;

struct Watch {
  std::atomic<std::uintptr_t> begin{0}, end{0};  // begin 0: free
  std::atomic<bool> faulted{false};
};

// The handler may run at any moment on any thread: it reads this without a lock.
std::array<Watch, 4096> watches;
std::mutex changing;
struct sigaction before {};

// Zeros from the page of the fault to the end: what is behind a file's new end is missing too.
void on_fault(int signal, siginfo_t* info, void* /*context*/) {
  const int error = errno;
  const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (Watch& watch : watches) {
    const std::uintptr_t begin = watch.begin.load(), end = watch.end.load();
    if (begin == 0 || at < begin || at >= end) continue;
    const std::uintptr_t page = at & ~(kPage - 1);
    const void* zeros = ::mmap(reinterpret_cast<void*>(page), end - page, PROT_READ,
                               MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (zeros == MAP_FAILED) break;
    watch.faulted.store(true);
    errno = error;
    return;
  }
  // Not ours: it goes where it went before. A fault happens again, a signal that was sent does not.
  ::sigaction(signal, &before, nullptr);
  if (info->si_code <= 0) ::raise(signal);
  errno = error;
}

void install() {
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &before);
}

}  // namespace

Result<int> watch_mapping(const void* begin, std::size_t bytes) {
  static std::once_flag installed;
  std::call_once(installed, install);
  const std::lock_guard lock(changing);
  for (std::size_t i = 0; i < watches.size(); ++i) {
    Watch& watch = watches[i];
    if (watch.begin.load() != 0) continue;
    const auto first = reinterpret_cast<std::uintptr_t>(begin);
    watch.faulted.store(false);
    watch.end.store((first + bytes + kPage - 1) & ~(kPage - 1));
    watch.begin.store(first);
    return static_cast<int>(i);
  }
  return Error{.kind = ErrorKind::kResource,
               .what = "too many mapped files",
               .expected = "at most " + std::to_string(watches.size())};
}

void forget_mapping(int watch) { watches[static_cast<std::size_t>(watch)].begin.store(0); }

bool mapping_faulted(int watch) { return watches[static_cast<std::size_t>(watch)].faulted.load(); }

}  // namespace maestrale
