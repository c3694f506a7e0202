// Worker: what the engine thread does. It owns all running and waiting answers; one step plans, runs one
// forward and hands out what came of it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/mtp_draft.h"
#include "engine/page_transfers.h"
#include "engine/prefix_cache.h"
#include "engine/request.h"
#include "engine/schedule.h"
#include "engine/service.h"

namespace maestrale::engine {

struct Tenant {
  TenantState state;
  std::size_t index = 0;  // among the tenants of this plan
  int requests = 0;
};

class Worker {
 public:
  // `options` are within the engine's limits. `store` has pages of this engine's model; null: there is none.
  Worker(Engine& engine, const ServiceOptions& options, PrefixStore* store = nullptr);
  ~Worker();

  void add(std::unique_ptr<Request> request);
  bool idle() const { return requests_.empty() && !(transfers_ && transfers_->pending()); }
  // Nothing can be computed before some reader has taken from its stream.
  bool waits_for_readers() const;
  // Ends what was cancelled, starts what may start, computes one batch.
  void step();
  void end_all(const Error& why);
  ServiceStats stats() const;

 private:
  struct Giver {
    Lane* lane;
    std::size_t row;  // of the logits; those after its guesses follow
  };

  void end_cancelled();
  void pause_unread();
  void start_waiting();
  bool compute();
  void survey();
  LaneState state_of(Lane& lane, bool slots_left);
  StepLimits limits() const;
  bool is_blocked(const Lane& lane) const;

  void start(Lane& lane);
  bool load(Lane& lane);
  void use_adapters(const Lane& lane);
  void stop(Lane& lane);
  void preempt(Lane& lane);
  void register_keys(Lane& lane);
  void forget_keys(const Lane& lane, std::int64_t from, std::int64_t to);
  bool make_room(const std::vector<LaneRows>& rows);
  void guess(std::vector<LaneRows>& rows);
  void guess_together();
  void fill_batch(const std::vector<LaneRows>& rows);
  void keep_pages(Lane& lane);
  void fork_choices(Lane& lane, std::size_t row);
  void give(const Giver& giver);
  bool give_token(Lane& lane, std::size_t row);
  void end_lane(Lane& lane);
  void end_request(Request& request);  // cancelled
  void finish(Request& request);
  void remove_finished();

  Engine& engine_;
  ServiceOptions options_;
  std::optional<PrefixCache> cache_;
  std::optional<PageTransfers> transfers_;          // where a store is behind the cache
  std::vector<std::unique_ptr<Request>> requests_;  // by arrival
  std::map<std::string, Tenant> tenants_;
  std::unordered_map<PrefixKey, Lane*, DigestHash>
      computing_;  // pages that a running lane is going to compute
  CostMeter meter_;
  SamplerWorkspace sampler_;
  ServiceStats stats_;

  // Scratch of one plan and one batch.
  std::vector<Lane*> lanes_;
  std::vector<LaneState> lane_states_;
  std::vector<TenantState> tenant_states_;
  std::vector<std::int32_t> tokens_, positions_, sequences_, logit_rows_;
  std::vector<float> logits_;
  std::vector<Giver> givers_;
  std::vector<MtpDraft::Asked> asked_;
  std::vector<LaneRows*> askers_;  // whose rows they are
};

}  // namespace maestrale::engine
