// Service: one engine thread that serves many requests at once (continuous batching). Requests wait in a
// bounded queue; each has an answer stream of its own, which any thread may read. The same request gives the
// same tokens and log-probabilities, whatever runs beside it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "engine/constraint.h"
#include "engine/engine.h"
#include "engine/prefix_store.h"

namespace maestrale::engine {

constexpr int kMaxChoices = 128;

struct ServiceRequest {
  GenerateRequest generate;
  int choices = 1;          // 1 … kMaxChoices answers from one prompt; choice c draws with seed + c
  std::string tenant = {};  // whose it is: fairness, and the salt of the prefix cache
  double weight = 1;        // [0.001, 1000]: share of its tenant among the tenants that have work
  std::function<std::unique_ptr<TokenConstraint>()> constraint = {};  // empty: none
};

struct ChoiceEnd {
  FinishReason reason = FinishReason::kLength;
};

// What one request took, known when it is over.
struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;      // of the prompt, taken from the prefix cache
  std::int64_t completion_tokens = 0;  // of all choices
  double queue_s = 0, prefill_s = 0, first_token_s = 0, total_s = 0;
};

struct RequestEnd {
  Usage usage;
  // The request could not be finished: the service stopped (kCancelled), the model computed no usable logits.
  // Choices that were not over end with kCancelled.
  std::optional<Error> error;
};

struct ServiceEvent {
  int choice = 0;
  std::variant<TokenEvent, ChoiceEnd, RequestEnd> what;  // RequestEnd comes once, last
};

// The answer of one request. Thread-safe. Dropping the last reference cancels.
class AnswerStream {
 public:
  virtual ~AnswerStream() = default;
  // The next event, if there is one.
  virtual std::optional<ServiceEvent> try_next() = 0;
  // Waits for the next event; nothing after RequestEnd.
  virtual std::optional<ServiceEvent> next() = 0;
  // One function, which takes the place of the one before; empty: none. The one before is not running any
  // more when notify() returns, unless notify() was called from it. Called on the engine thread whenever
  // events become ready after try_next() found none; must be quick and must not call back into the service.
  // Called at once where events are ready already.
  virtual void notify(std::function<void()> ready) = 0;
  virtual void cancel() = 0;
};

struct ServiceOptions {
  std::int64_t queue = 256;  // requests that may wait; more are refused (kResource)
  // Bytes of events that wait in one stream before its answer pauses, until the reader has taken half of
  // them. A paused answer holds no sequence.
  std::int64_t stream_bytes = 16 << 10;
  std::int64_t running = 16;  // sequences that are worked on together; at most LoadOptions::sequences
  std::int64_t chunk = 512;   // prompt rows of one step at most; at most LoadOptions::batch_rows
  double step_s = 0.25;       // aim for the length of a step while somebody streams
  bool prefix_cache = true;
  // Behind the prefix cache, where pages outlive the service. kUnsupported without a cache, and for models
  // that cannot have one. LoadOptions::prefix_store must have made room.
  std::optional<PrefixStoreOptions> store = {};
  // Tokens that are guessed ahead for one answer at most, where that is measured to pay; 0: none. The answers
  // are the same. `always_draft` guesses without asking whether it pays.
  std::int64_t drafts = kDefaultDrafts;
  bool always_draft = false;
};

// For metrics and readiness: one snapshot.
struct ServiceStats {
  std::int64_t waiting = 0, running = 0;
  std::int64_t pages = 0, pages_used = 0, pages_cached = 0;
  std::uint64_t steps = 0;
  std::uint64_t requests = 0, cancelled = 0, failed = 0;  // that are over, and of them
  std::uint64_t preempted = 0;  // times that an answer had to wait for pages or its turn
  std::uint64_t paused = 0;     // times that one waited for its reader
  std::uint64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  std::uint64_t rows = 0;  // computed in all steps, what was computed again included
  std::uint64_t guesses = 0, guessed_right = 0;
  PrefixStoreStats store;
  std::uint64_t store_tokens = 0;  // of prompts, read from the store
  double last_step_s = 0;          // seconds that the last step took
  double since_step_s = 0;         // seconds since the last step ended; meaningful while running > 0
};

class Service {
 public:
  static Result<std::unique_ptr<Service>> start(std::unique_ptr<Engine> engine,
                                                const ServiceOptions& options);
  virtual ~Service() = default;  // cancels what still runs and joins the thread
  // Checks the request and queues it; any thread. Errors: kUsage (a parameter), kResource (prompt too long,
  // queue full, no new requests are taken any more).
  virtual Result<std::shared_ptr<AnswerStream>> submit(ServiceRequest request) = 0;
  virtual const Engine& engine() const = 0;  // its information only
  virtual ServiceStats stats() const = 0;
  // Refuses new requests and waits until the running ones are over, at most so long; then cancels the rest.
  virtual void drain(double seconds) = 0;
};

}  // namespace maestrale::engine
