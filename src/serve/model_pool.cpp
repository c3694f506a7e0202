#include "serve/model_pool.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace maestrale::serve {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kMostSeconds = 1e8;
constexpr std::chrono::seconds kLookAgain(1);  // at free memory, which others give back without a word

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Waiter {
  std::uint64_t ticket;
  std::optional<double> keep_s;
  ModelPool::Ready ready;
};

struct Slot {
  std::string name;
  OpenModel open;  // empty: it stays
  std::shared_ptr<ModelService> service;
  std::int64_t leases = 0;
  bool closing = false;  // others need its memory: there are no new leases
  double keep_s = kForever;
  Clock::time_point used = {};  // when a lease began or ended
  std::deque<Waiter> waiters;   // by ticket
  SlotStats counts;             // `bytes` and what only grows

  bool idle() const { return service != nullptr && open && leases == 0; }
  Clock::time_point end() const {  // when it is unloaded, if nobody comes
    if (keep_s == kForever) return Clock::time_point::max();
    const std::chrono::duration<double> keep(std::clamp(keep_s, 0.0, kMostSeconds));
    return used + std::chrono::duration_cast<Clock::duration>(keep);
  }
};

Error refusal(const std::string& name, Error why) {
  why.what = fmt::format("the model '{}' cannot be loaded: {}", name, why.what);
  why.where = "model";
  return why;
}

Error stopping() { return {.kind = ErrorKind::kCancelled, .what = "the server is shutting down"}; }

}  // namespace

struct ModelPool::State : std::enable_shared_from_this<State> {
  using Lock = std::unique_lock<std::mutex>;

  explicit State(PoolOptions given) : options(std::move(given)) {}

  // --- any thread ---

  // A slot that is loaded gives a lease.
  Lease give(Slot& slot, std::optional<double> keep_s) {
    ++slot.leases;
    slot.used = Clock::now();
    slot.keep_s = keep_s.value_or(options.keep_s);
    ModelService* raw = slot.service.get();
    // Its own hold goes before the count does, so that only the pool's thread ends a service.
    return {raw, [state = shared_from_this(), service = slot.service, &slot](ModelService*) mutable {
              service.reset();
              state->take_back(slot);
            }};
  }
  void take_back(Slot& slot) {
    const std::lock_guard lock(mutex);
    --slot.leases;
    slot.used = Clock::now();
    changed.notify_all();
  }

  // --- the pool's thread ---

  void run() {
    Lock lock(mutex);
    while (!leave) {
      if (Slot* slot = expired()) {
        unload(*slot, lock, "unused");
      } else if (Slot* wanted = next_wanted()) {
        working = true;
        bring(*wanted, lock);
        working = false;
      } else {
        rested.notify_all();
        sleep(lock);
      }
    }
    refuse_all(lock);
    rested.notify_all();
  }

  void sleep(Lock& lock) {
    Clock::time_point until = Clock::time_point::max();
    for (const auto& slot : slots) {
      if (slot->idle()) until = std::min(until, slot->end());
    }
    if (until == Clock::time_point::max()) {
      changed.wait(lock);
    } else {
      changed.wait_until(lock, until);
    }
  }

  Slot* expired() {
    for (const auto& slot : slots) {
      if (slot->idle() && slot->waiters.empty() && slot->end() <= Clock::now()) return slot.get();
    }
    return nullptr;
  }

  // The one that somebody has waited for longest.
  Slot* next_wanted() {
    Slot* next = nullptr;
    for (const auto& slot : slots) {
      if (slot->waiters.empty()) continue;
      if (next == nullptr || slot->waiters.front().ticket < next->waiters.front().ticket) next = slot.get();
    }
    return next;
  }

  void bring(Slot& slot, Lock& lock) {
    if (slot.service == nullptr) {
      const Status status = load(slot, lock);
      for (const auto& other : slots) other->closing = false;
      if (!status.ok()) return refuse(slot, status.error(), lock);
    }
    if (slot.service != nullptr) deliver(slot, lock);
  }

  // The slot stays as it is where nobody waits for it any more.
  Status load(Slot& slot, Lock& lock) {
    lock.unlock();
    auto opened = slot.open();
    lock.lock();
    if (!opened.ok()) return std::move(opened).error();
    const auto bytes = TRY(make_room(slot, **opened, lock));
    if (!bytes) return {};
    const Clock::time_point start = Clock::now();
    lock.unlock();
    auto service = (*opened)->load(*bytes);
    lock.lock();
    if (!service.ok()) return std::move(service).error();
    slot.service = std::move(service).value();
    slot.used = Clock::now();
    slot.keep_s = options.keep_s;
    slot.counts.bytes = *bytes;
    slot.counts.load_s = seconds_since(start);
    ++slot.counts.loads;
    say(fmt::format("loaded {} ({:.1f} MB) in {:.2f} s", slot.name, static_cast<double>(*bytes) / 1e6,
                    slot.counts.load_s));
    return {};
  }

  // Unloads others until the model has room: those that nobody uses, the longest unused first; then it waits
  // for those in use, which get no new requests meanwhile. Nothing where nobody waits for it any more.
  Result<std::optional<std::uint64_t>> make_room(Slot& slot, OpenedModel& opened, Lock& lock) {
    for (;;) {
      const std::uint64_t taken = taken_bytes();
      lock.unlock();
      const std::uint64_t free = options.memory > 0 ? 0 : options.free_memory();
      const std::uint64_t most = options.memory > 0 ? options.memory : but_a_tenth(free + taken);
      const std::uint64_t room = options.memory > 0 ? most - std::min(most, taken) : but_a_tenth(free);
      const auto bytes = opened.plan(most);
      lock.lock();
      if (leave || slot.waiters.empty()) return std::optional<std::uint64_t>();
      if (!bytes.ok()) return bytes.error();
      if (*bytes <= room) return std::optional(*bytes);
      if (Slot* idle = longest_unused(true)) {
        unload(*idle, lock, "for " + slot.name);
        continue;
      }
      const std::uint64_t promised = closing_bytes();
      Slot* const busy = room + promised < *bytes ? longest_unused(false) : nullptr;
      if (busy != nullptr) busy->closing = true;
      if (busy != nullptr || promised > 0) {
        changed.wait_for(lock, kLookAgain);
      } else {
        // Others took what the models gave back: as much as there is must do.
        return std::optional(TRY(opened.plan(room)));
      }
    }
  }

  static std::uint64_t but_a_tenth(std::uint64_t bytes) { return bytes - bytes / 10; }
  std::uint64_t taken_bytes() const {
    std::uint64_t bytes = 0;
    for (const auto& slot : slots) bytes += slot->service != nullptr ? slot->counts.bytes : 0;
    return bytes;
  }
  std::uint64_t closing_bytes() const {
    std::uint64_t bytes = 0;
    for (const auto& slot : slots) bytes += slot->closing ? slot->counts.bytes : 0;
    return bytes;
  }
  // Of those that nobody uses, or of those in use that still take requests.
  Slot* longest_unused(bool idle) {
    Slot* found = nullptr;
    for (const auto& slot : slots) {
      if (slot->service == nullptr || !slot->open || slot->idle() != idle) continue;
      if (!idle && slot->closing) continue;
      if (found == nullptr || slot->used < found->used) found = slot.get();
    }
    return found;
  }

  void unload(Slot& slot, Lock& lock, const std::string& why) {
    auto service = std::move(slot.service);
    slot.service = nullptr;
    slot.closing = false;
    ++slot.counts.unloads;
    lock.unlock();
    service.reset();
    say(fmt::format("unloaded {}: {}", slot.name, why));
    lock.lock();
    slot.counts.bytes = 0;
  }

  void deliver(Slot& slot, Lock& lock) {
    std::vector<std::pair<Ready, Lease>> given;
    for (Waiter& waiter : std::exchange(slot.waiters, {}))
      given.emplace_back(std::move(waiter.ready), give(slot, waiter.keep_s));
    lock.unlock();
    for (auto& [ready, lease] : given) ready(std::move(lease));
    given.clear();
    lock.lock();
  }

  void refuse(Slot& slot, const Error& why, Lock& lock) {
    ++slot.counts.failures;
    const auto waiters = std::exchange(slot.waiters, {});
    lock.unlock();
    say(fmt::format("{} cannot be loaded: {}", slot.name, why.render()));
    for (const Waiter& waiter : waiters) waiter.ready(refusal(slot.name, why));
    lock.lock();
  }

  void refuse_all(Lock& lock) {
    std::vector<Waiter> waiters;
    for (const auto& slot : slots) {
      for (Waiter& waiter : std::exchange(slot->waiters, {})) waiters.push_back(std::move(waiter));
    }
    lock.unlock();
    for (const Waiter& waiter : waiters) waiter.ready(stopping());
    waiters.clear();
    lock.lock();
  }

  void say(const std::string& line) const {
    if (options.note) options.note(line);
  }

  const PoolOptions options;
  mutable std::mutex mutex;
  std::condition_variable changed;  // there may be something to do
  std::condition_variable rested;   // nobody waits any more
  std::vector<std::unique_ptr<Slot>> slots;
  std::uint64_t next_ticket = 1;
  bool working = false;  // a model is being loaded, or handed out
  bool closed = false;   // nobody may begin to wait
  bool leave = false;
  std::thread thread;  // where there is a model to load
};

ModelPool::ModelPool(PoolOptions options) : state_(std::make_shared<State>(std::move(options))) {}

ModelPool::~ModelPool() {
  stop(0);
  std::vector<std::shared_ptr<ModelService>> services;
  const std::lock_guard lock(state_->mutex);
  for (const auto& slot : state_->slots) services.push_back(std::move(slot->service));
}

std::size_t ModelPool::add(std::string name, std::shared_ptr<ModelService> service) {
  auto slot = std::make_unique<Slot>();
  slot->name = std::move(name);
  slot->service = std::move(service);
  state_->slots.push_back(std::move(slot));
  return state_->slots.size() - 1;
}

std::size_t ModelPool::add(std::string name, OpenModel open) {
  auto slot = std::make_unique<Slot>();
  slot->name = std::move(name);
  slot->open = std::move(open);
  const std::lock_guard lock(state_->mutex);
  state_->slots.push_back(std::move(slot));
  if (!state_->thread.joinable()) state_->thread = std::thread([state = state_.get()] { state->run(); });
  return state_->slots.size() - 1;
}

Lease ModelPool::lease(std::size_t index, std::optional<double> keep_s) {
  const std::lock_guard lock(state_->mutex);
  Slot& slot = *state_->slots[index];
  // Whoever waits already comes first.
  if (slot.service == nullptr || slot.closing || !slot.waiters.empty()) return nullptr;
  return state_->give(slot, keep_s);
}

Status ModelPool::wait(std::size_t index, std::uint64_t ticket, std::optional<double> keep_s, Ready ready) {
  const std::lock_guard lock(state_->mutex);
  Slot& slot = *state_->slots[index];
  if (state_->closed) return stopping();
  const std::int64_t waiting = std::ssize(slot.waiters);
  if (waiting >= state_->options.queue) {
    return Error{.kind = ErrorKind::kResource,
                 .what = fmt::format("the model '{}' is not loaded yet, and its queue is full", slot.name),
                 .expected = fmt::format("at most {} waiting requests", state_->options.queue),
                 .found = std::to_string(waiting),
                 .hint = "try again later"};
  }
  const auto place = std::find_if(slot.waiters.begin(), slot.waiters.end(),
                                  [ticket](const Waiter& waiter) { return waiter.ticket > ticket; });
  slot.waiters.insert(place, {ticket, keep_s, std::move(ready)});
  state_->changed.notify_all();
  return {};
}

std::uint64_t ModelPool::new_ticket() {
  const std::lock_guard lock(state_->mutex);
  return state_->next_ticket++;
}

void ModelPool::cancel(std::uint64_t ticket) {
  Ready ready;
  {
    const std::lock_guard lock(state_->mutex);
    for (const auto& slot : state_->slots) {
      const auto found = std::find_if(slot->waiters.begin(), slot->waiters.end(),
                                      [ticket](const Waiter& waiter) { return waiter.ticket == ticket; });
      if (found == slot->waiters.end()) continue;
      ready = std::move(found->ready);
      slot->waiters.erase(found);
      break;
    }
    state_->changed.notify_all();
  }
  if (ready) ready(Error{.kind = ErrorKind::kCancelled, .what = "the request was cancelled"});
}

void ModelPool::unload(std::size_t index) {
  const std::lock_guard lock(state_->mutex);
  state_->slots[index]->keep_s = 0;
  state_->changed.notify_all();
}

SlotStats ModelPool::stats(std::size_t index) const {
  const std::lock_guard lock(state_->mutex);
  const Slot& slot = *state_->slots[index];
  SlotStats stats = slot.counts;
  stats.loaded = slot.service != nullptr;
  stats.stays = !slot.open;
  stats.waiting = std::ssize(slot.waiters);
  if (!stats.loaded || stats.stays || slot.keep_s == kForever) return stats;
  stats.left_s = std::max(0.0, slot.leases > 0 ? slot.keep_s : slot.keep_s - seconds_since(slot.used));
  return stats;
}

bool ModelPool::visit(std::size_t index, const std::function<void(ModelService&)>& see) const {
  const std::lock_guard lock(state_->mutex);
  const Slot& slot = *state_->slots[index];
  if (slot.service != nullptr) see(*slot.service);
  return slot.service != nullptr;
}

void ModelPool::stop(double seconds) {
  {
    State::Lock lock(state_->mutex);
    state_->closed = true;
    if (!state_->thread.joinable()) return;
    const std::chrono::duration<double> most(std::clamp(seconds, 0.0, kMostSeconds));
    state_->rested.wait_for(lock, most,
                            [this] { return !state_->working && state_->next_wanted() == nullptr; });
    state_->leave = true;
    state_->changed.notify_all();
  }
  state_->thread.join();
}

std::vector<std::shared_ptr<ModelService>> ModelPool::loaded() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<std::shared_ptr<ModelService>> services;
  for (const auto& slot : state_->slots) {
    if (slot->service != nullptr) services.push_back(slot->service);
  }
  return services;
}

}  // namespace maestrale::serve
