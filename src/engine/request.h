// Request: what one caller asked for and where it stands; its answers are lanes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/answer.h"
#include "engine/draft.h"
#include "engine/prefix_cache.h"
#include "engine/service.h"
#include "engine/stream.h"

namespace maestrale::engine {

using Clock = std::chrono::steady_clock;

struct Request;

// One answer, running where it has a sequence.
struct Lane {
  Request* request = nullptr;
  int choice = 0;
  std::unique_ptr<TokenConstraint> constraint;
  Answer answer;
  int sequence = -1;
  std::int64_t computed = 0;    // positions of the history that stand in the sequence
  std::int64_t done = 0;        // rows computed since it was started
  std::vector<PrefixKey> keys;  // of the history's whole pages
  std::int64_t kept = 0;        // running: pages that the prefix cache has; waiting: pages found there
  std::int64_t stored = 0;      // running: of those, pages that the store has been given
  bool looked_up = false;       // waiting: the store has been asked for more
  int passed_over = 0;
  Drafter drafter = {};
  std::vector<text::TokenId> draft = {};  // of this step: guesses computed after the last token

  bool running() const { return sequence >= 0; }
  std::int64_t length() const { return static_cast<std::int64_t>(answer.history().size()); }
  bool in_prompt() const { return answer.tokens().empty(); }
  std::uint64_t order() const;
};

struct Request {
  std::uint64_t number = 0;  // of arrival
  std::string tenant;
  std::string salt;  // of the prefix cache: pages are shared within a tenant, by the same adapters
  std::optional<std::vector<ops::AdapterChoice>> adapters;
  double weight = 1;
  std::shared_ptr<StreamState> stream;
  std::vector<std::unique_ptr<Lane>> lanes;
  Usage usage;
  Clock::time_point arrived = Clock::now(), began = {};
  bool has_begun = false;
  bool prompt_done = false;
  bool paused = false;  // for this step: the reader has enough to read
  std::optional<Error> error;
};

// A request that has been checked; its number is given by whoever takes it. kUsage: stop strings.
Result<std::unique_ptr<Request>> make_request(ServiceRequest asked, const Engine& engine,
                                              const ServiceOptions& options);

}  // namespace maestrale::engine
