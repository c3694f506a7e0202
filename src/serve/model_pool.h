// Which models are in memory: one thread loads them when somebody asks, and unloads them when others need the
// memory or nobody has asked for a while. It knows nothing of what a model is.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/memory.h"
#include "base/result.h"

namespace maestrale::serve {

struct ModelService;  // a loaded model (serve/models.h)

// A model's service, which stays as long as somebody holds the lease.
using Lease = std::shared_ptr<ModelService>;

// A model whose files are open, and nothing of it loaded.
class OpenedModel {
 public:
  virtual ~OpenedModel() = default;
  // Bytes that it takes where it may have `most`; kResource with the numbers where that is too little.
  virtual Result<std::uint64_t> plan(std::uint64_t most) = 0;
  // Loads it into so many bytes, as plan() said; called once at most.
  virtual Result<std::shared_ptr<ModelService>> load(std::uint64_t bytes) = 0;
};
using OpenModel = std::function<Result<std::unique_ptr<OpenedModel>>()>;

constexpr double kForever = std::numeric_limits<double>::infinity();

struct PoolOptions {
  std::uint64_t memory = 0;  // bytes for all models together; 0: what is free, but a tenth
  double keep_s = 300;  // how long a model stays that nobody uses; kForever: until others need its memory
  std::int64_t queue = 256;  // requests that may wait for one model
  std::function<std::uint64_t()> free_memory = available_memory;
  std::function<void(const std::string&)> note = {};
};

// How a model stands.
struct SlotStats {
  bool loaded = false;
  bool stays = false;        // it is never unloaded
  std::int64_t waiting = 0;  // requests that wait until it is loaded
  double left_s = kForever;  // loaded: until it is unloaded, if nobody asks for it
  std::uint64_t bytes = 0;   // loaded: what it takes, as planned
  std::uint64_t loads = 0, unloads = 0, failures = 0;
  double load_s = 0;  // seconds that loading took, the last time
};

// Thread-safe but add(), which comes first.
class ModelPool {
 public:
  // Called once, on the pool's thread or on that of cancel(): with the lease, or why there is none. Must be
  // quick.
  using Ready = std::function<void(Result<Lease>)>;

  explicit ModelPool(PoolOptions options);
  ~ModelPool();  // stop(0); services end with their last lease
  ModelPool(const ModelPool&) = delete;
  ModelPool& operator=(const ModelPool&) = delete;

  // Models by number, from 0: one that is loaded and stays, and one that is loaded when it is asked for.
  std::size_t add(std::string name, std::shared_ptr<ModelService> service);
  std::size_t add(std::string name, OpenModel open);

  // Null where the model is not loaded, or makes room for another as soon as nobody uses it. `keep_s`: how
  // long it stays after this; nothing: as the options say.
  Lease lease(std::size_t slot, std::optional<double> keep_s = {});
  // Waits for the model without a thread. `ticket` is one of new_ticket(). kResource: as many wait already.
  Status wait(std::size_t slot, std::uint64_t ticket, std::optional<double> keep_s, Ready ready);
  std::uint64_t new_ticket();
  // Whoever waits with this ticket gets kCancelled; others are not meant.
  void cancel(std::uint64_t ticket);
  // Unloads the model as soon as nobody uses it.
  void unload(std::size_t slot);

  SlotStats stats(std::size_t slot) const;
  // Shows a loaded model to a function that is quick and calls nothing here; false where it is not loaded.
  bool visit(std::size_t slot, const std::function<void(ModelService&)>& see) const;
  // Takes nobody new who would have to wait, goes on until nobody waits, at most so long, and refuses the
  // rest (kCancelled). Nothing is loaded or unloaded after it. Waits for a model that is being loaded.
  void stop(double seconds);
  // After stop(): the models that are loaded.
  std::vector<std::shared_ptr<ModelService>> loaded() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // leases know it too
};

}  // namespace maestrale::serve
