#include "engine/worker.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace maestrale::engine {
namespace {

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

constexpr std::int64_t kMaxGuesses = 16;  // of all lanes in one step
constexpr std::int64_t kCatchUp = 256;    // tokens that a draft model reads of one lane in a step

// Pages of a lane that may come from the cache: the last token is always computed, its logits are wanted.
std::span<const PrefixKey> shareable(const Lane& lane) {
  return std::span(lane.keys).first(static_cast<std::size_t>((lane.length() - 1) / ops::kPageTokens));
}

}  // namespace

Worker::Worker(Engine& engine, const ServiceOptions& options, PrefixStore* store)
    : engine_(engine), options_(options) {
  // A state is of one moment, so sequences with one cannot begin in the middle of another.
  if (options.prefix_cache && engine.kv().shape().state_bytes() == 0) cache_.emplace(engine.kv());
  CHECK(store == nullptr || cache_, "a store is behind a cache");
  if (store != nullptr) transfers_.emplace(engine.kv(), *cache_, *store);
  if (engine.kv().shape().state_bytes() > 0) options_.drafts = 0;  // nor can they go back
  const std::int64_t guesses = options_.drafts > 0 ? kMaxGuesses : 0;
  logits_.resize(static_cast<std::size_t>((options.running + guesses) * engine.info().vocabulary));
}

Worker::~Worker() {
  for (const auto& request : requests_) {
    for (const auto& lane : request->lanes) {
      if (lane->running()) engine_.close_sequence(lane->sequence);
    }
  }
}

void Worker::add(std::unique_ptr<Request> request) {
  const auto [found, is_new] = tenants_.try_emplace(request->tenant);
  Tenant& tenant = found->second;
  if (is_new) {  // begins beside those that have been served least
    std::optional<double> least;
    for (const auto& [name, other] : tenants_) {
      if (&other != &tenant) least = std::min(least.value_or(other.state.served), other.state.served);
    }
    tenant.state.served = least.value_or(0);
  }
  tenant.state.weight = request->weight;
  ++tenant.requests;
  requests_.push_back(std::move(request));
}

void Worker::step() {
  end_cancelled();
  pause_unread();
  if (transfers_) transfers_->take();
  start_waiting();
  while (!idle() && !waits_for_readers() && !compute()) {
    // All wait for the disk, or others lack the pages that it fills.
    if (transfers_ && transfers_->reading()) {
      transfers_->await();
      break;
    }
    start_waiting();
  }
  remove_finished();
}

void Worker::end_cancelled() {
  for (const auto& request : requests_) {
    if (request->stream->cancelled()) end_request(*request);
  }
  remove_finished();
}

// Whoever does not read gives room to others; pages stay in the prefix cache as long as it has room.
void Worker::pause_unread() {
  for (const auto& request : requests_) {
    request->paused = request->stream->is_full();
    if (!request->paused) continue;
    for (const auto& lane : request->lanes) {
      if (!lane->running()) continue;
      stop(*lane);
      ++stats_.paused;
    }
  }
}

bool Worker::waits_for_readers() const {
  return !requests_.empty() &&
         std::all_of(requests_.begin(), requests_.end(), [](const auto& request) { return request->paused; });
}

void Worker::end_all(const Error& why) {
  for (const auto& request : requests_) {
    request->error = why;
    end_request(*request);
  }
  remove_finished();
}

bool Worker::is_blocked(const Lane& lane) const {
  if (lane.request->paused) return true;
  const Lane& first = *lane.request->lanes.front();
  if (&lane != &first && lane.in_prompt() && first.in_prompt() && !first.answer.over()) return true;
  if (!cache_) return false;
  const auto keys = shareable(lane);
  if (lane.kept >= std::ssize(keys)) return false;
  const PrefixKey& next = keys[static_cast<std::size_t>(lane.kept)];
  return computing_.contains(next) || (transfers_ && transfers_->reads(next));
}

LaneState Worker::state_of(Lane& lane, bool slots_left) {
  const ops::KvCache& kv = engine_.kv();
  LaneState state{.tenant = tenants_.at(lane.request->tenant).index,
                  .order = lane.order(),
                  .running = lane.running(),
                  .left = lane.length() - lane.computed,
                  .done = lane.done,
                  .passed_over = lane.passed_over};
  if (lane.running()) {
    const std::int64_t end = std::ssize(kv.pages(lane.sequence)) * ops::kPageTokens;
    state.room = end - lane.computed;
    state.copies = state.room > 0 && kv.pages_to_write(lane.sequence, lane.computed, lane.computed + 1) > 0;
    state.restart = lane.computed - (cache_ ? lane.kept * ops::kPageTokens : 0);
    return state;
  }
  if (cache_) lane.kept = cache_->find(lane.request->salt, shareable(lane), lane.answer.history(), lane.kept);
  state.left -= lane.kept * ops::kPageTokens;
  state.blocked = is_blocked(lane);
  state.pages = ops::KvShape::pages_for(lane.length() + 1) - lane.kept;
  if (cache_ && slots_left) state.pages += cache_->idle(shareable(lane), lane.kept);
  return state;
}

void Worker::survey() {
  tenant_states_.clear();
  for (auto& [name, tenant] : tenants_) {
    tenant.index = tenant_states_.size();
    tenant_states_.push_back(tenant.state);
  }
  lanes_.clear();
  for (const auto& request : requests_) {
    for (const auto& lane : request->lanes) {
      if (!lane->answer.over()) lanes_.push_back(lane.get());
    }
  }
  const auto running =
      std::count_if(lanes_.begin(), lanes_.end(), [](const Lane* lane) { return lane->running(); });
  lane_states_.clear();
  for (Lane* lane : lanes_) lane_states_.push_back(state_of(*lane, running < options_.running));
}

StepLimits Worker::limits() const {
  return {.slots = options_.running,
          .rows = engine_.batch_rows(),
          .prompt_rows = options_.chunk,
          .pages = engine_.kv().free_pages() + engine_.kv().idle_pages(),
          .step_s = options_.step_s,
          .cost = meter_.cost(),
          .step = stats_.steps};
}

void Worker::start_waiting() {
  for (;;) {
    survey();
    const StartPlan plan = plan_start(lane_states_, tenant_states_, limits());
    if (plan.start && load(*lanes_[*plan.start])) continue;
    for (const std::size_t passed : plan.passed) ++lanes_[passed]->passed_over;
    if (plan.start) {
      start(*lanes_[*plan.start]);
    } else if (plan.stop) {
      preempt(*lanes_[*plan.stop]);
    } else {
      return;
    }
  }
}

// A lane that might start waits for pages from the store instead. It asks once, or it might never start where
// the pool is too small to keep them.
bool Worker::load(Lane& lane) {
  if (!transfers_ || std::exchange(lane.looked_up, true)) return false;
  return transfers_->begin(lane.request->salt, shareable(lane), lane.answer.history(), lane.kept);
}

void Worker::start(Lane& lane) {
  Request& request = *lane.request;
  lane.sequence = engine_.open_sequence();
  use_adapters(lane);
  lane.computed = lane.kept = lane.stored = lane.done = 0;
  lane.passed_over = 0;
  if (cache_) {
    lane.kept = cache_->find(request.salt, shareable(lane), lane.answer.history());
    cache_->share(shareable(lane), lane.kept, lane.sequence);
    lane.computed = lane.kept * ops::kPageTokens;
    register_keys(lane);
  }
  if (request.has_begun) return;
  request.has_begun = true;
  request.began = Clock::now();
  request.usage.queue_s = seconds_since(request.arrived);
  request.usage.cached_tokens = lane.computed;
  stats_.prompt_tokens += static_cast<std::uint64_t>(request.usage.prompt_tokens);
  stats_.cached_tokens += static_cast<std::uint64_t>(lane.computed);
}

void Worker::use_adapters(const Lane& lane) {
  const Status status = engine_.use_adapters(lane.sequence, lane.request->adapters);
  CHECK(status.ok(), "adapters have been checked");
}

void Worker::register_keys(Lane& lane) {
  for (auto index = static_cast<std::size_t>(lane.kept); index < lane.keys.size(); ++index)
    computing_.try_emplace(lane.keys[index], &lane);
}

void Worker::forget_keys(const Lane& lane, std::int64_t from, std::int64_t to) {
  for (auto index = static_cast<std::size_t>(from); index < static_cast<std::size_t>(to); ++index) {
    const auto found = computing_.find(lane.keys[index]);
    if (found != computing_.end() && found->second == &lane) computing_.erase(found);
  }
}

// The lane waits again; nothing that its reader has had is lost.
void Worker::stop(Lane& lane) {
  forget_keys(lane, lane.kept, std::ssize(lane.keys));
  if (transfers_) transfers_->leave(lane.keys, lane.stored, lane.kept);
  lane.looked_up = false;
  engine_.close_sequence(lane.sequence);
  lane.sequence = -1;
  lane.computed = lane.kept = lane.stored = lane.done = 0;
}

// Of an answer that is not over, for others.
void Worker::preempt(Lane& lane) {
  stop(lane);
  ++stats_.preempted;
}

// False where nothing could be computed: somebody gave up pages for it, or all wait for the disk.
bool Worker::compute() {
  survey();
  StepPlan plan = plan_rows(lane_states_, tenant_states_, limits());
  if (plan.stop) {
    preempt(*lanes_[*plan.stop]);
    return false;
  }
  if (plan.rows.empty() && transfers_ && transfers_->reading()) return false;
  CHECK(!plan.rows.empty(), "some lane can always run");
  if (!make_room(plan.rows)) return false;
  guess(plan.rows);
  fill_batch(plan.rows);
  const Clock::time_point begin = Clock::now();
  const Status status = engine_.forward({tokens_, positions_, sequences_, logit_rows_}, logits_.data());
  if (!status.ok()) {
    end_all(status.error());  // the model's file is not what it was: nothing was kept of this step
    return true;
  }
  for (const LaneRows& part : plan.rows) {
    Lane& lane = *lanes_[part.lane];
    const std::int64_t sure = part.rows - std::ssize(lane.draft);
    lane.computed += sure;
    lane.done += sure;
    TenantState& tenant = tenants_.at(lane.request->tenant).state;
    tenant.served += static_cast<double>(part.rows) / tenant.weight;
    if (cache_) keep_pages(lane);
  }
  for (std::size_t i = 0; i < givers_.size(); ++i) fork_choices(*givers_[i].lane, givers_[i].row);
  for (const Giver& giver : givers_) give(giver);
  stats_.rows += tokens_.size();
  ++stats_.steps;
  stats_.last_step_s = seconds_since(begin);
  meter_.add(static_cast<std::int64_t>(tokens_.size()), stats_.last_step_s);
  return true;
}

// Takes pages from the cache until the rows have room.
bool Worker::make_room(const std::vector<LaneRows>& rows) {
  ops::KvCache& kv = engine_.kv();
  std::int64_t pages = 0;
  for (const LaneRows& part : rows) {
    const Lane& lane = *lanes_[part.lane];
    pages += kv.pages_to_write(lane.sequence, lane.computed, lane.computed + part.rows);
  }
  while (kv.free_pages() < pages) {
    if (cache_ && cache_->evict()) continue;
    // Pages that nobody uses were counted on, but others follow them: the youngest lane has to wait.
    const auto youngest =
        std::max_element(rows.begin(), rows.end(), [&](const LaneRows& a, const LaneRows& b) {
          return lanes_[a.lane]->order() < lanes_[b.lane]->order();
        });
    preempt(*lanes_[youngest->lane]);
    return false;
  }
  return true;
}

// Adds guesses to the rows that give tokens, as far as their pages have room.
void Worker::guess(std::vector<LaneRows>& rows) {
  std::int64_t giving = 0, total = 0;
  for (const LaneRows& part : rows) {
    lanes_[part.lane]->draft.clear();
    giving += lane_states_[part.lane].left == 1 ? 1 : 0;
    total += part.rows;
  }
  std::int64_t left = std::min(kMaxGuesses, engine_.batch_rows() - total);
  const StepCost cost = meter_.cost();
  for (LaneRows& part : rows) {
    const LaneState& state = lane_states_[part.lane];
    Lane& lane = *lanes_[part.lane];
    const std::int64_t most =
        std::min({options_.drafts, left, state.room - 1, engine_.context() - lane.length()});
    if (state.left != 1 || state.copies || most <= 0) continue;
    const Drafter::Step step{
        .most = most, .rows = giving, .cost = cost, .always = options_.always_draft, .catch_up = kCatchUp};
    lane.draft = lane.drafter.guess(lane.sequence, lane.answer.history(), engine_.draft(), step);
    part.rows += std::ssize(lane.draft);
    left -= std::ssize(lane.draft);
    if (!lane.draft.empty() || engine_.mtp() == nullptr || engine_.draft() != nullptr) continue;
    const std::int64_t wanted = lane.drafter.choose_mtp(*engine_.mtp(), step);
    if (wanted == 0) continue;
    asked_.push_back({lane.sequence, lane.answer.history(), wanted});
    askers_.push_back(&part);
    left -= wanted;
  }
  guess_together();
}

// What the model's own layer is to guess, for all lanes at once.
void Worker::guess_together() {
  if (asked_.empty()) return;
  auto guesses = engine_.mtp()->guess(engine_, asked_, options_.always_draft);
  for (std::size_t i = 0; i < guesses.size(); ++i) {
    askers_[i]->rows += std::ssize(guesses[i]);
    lanes_[askers_[i]->lane]->draft = std::move(guesses[i]);
  }
  asked_.clear();
  askers_.clear();
}

void Worker::fill_batch(const std::vector<LaneRows>& rows) {
  for (auto* list : {&tokens_, &positions_, &sequences_, &logit_rows_}) list->clear();
  givers_.clear();
  for (const LaneRows& part : rows) {
    Lane& lane = *lanes_[part.lane];
    const auto& history = lane.answer.history();
    for (std::int64_t at = lane.computed; at < lane.computed + part.rows; ++at) {
      const bool known = at < lane.length();
      tokens_.push_back(known ? history[static_cast<std::size_t>(at)]
                              : lane.draft[static_cast<std::size_t>(at - lane.length())]);
      positions_.push_back(static_cast<std::int32_t>(at));
      sequences_.push_back(lane.sequence);
    }
    const auto guesses = std::ssize(lane.draft);
    if (lane.computed + part.rows - guesses < lane.length()) continue;
    givers_.push_back({&lane, logit_rows_.size()});
    for (std::int64_t row = -guesses - 1; row < 0; ++row)
      logit_rows_.push_back(static_cast<std::int32_t>(std::ssize(tokens_) + row));
  }
}

void Worker::keep_pages(Lane& lane) {
  const auto& history = lane.answer.history();
  const std::string& salt = lane.request->salt;
  if ((lane.kept + 1) * ops::kPageTokens <= lane.computed) extend_keys(prefix_root(salt), history, lane.keys);
  for (; (lane.kept + 1) * ops::kPageTokens <= lane.computed; ++lane.kept) {
    cache_->insert(salt, lane.keys, history, lane.kept, lane.sequence);
    forget_keys(lane, lane.kept, lane.kept + 1);
  }
  // What finds no room now is offered again after the next step.
  if (transfers_)
    lane.stored = transfers_->save(salt, lane.keys, history, lane.stored, lane.kept, lane.sequence);
}

// The prompt is computed: choices that wait for it begin with its pages, as far as slots are left.
void Worker::fork_choices(Lane& lane, std::size_t row) {
  Request& request = *lane.request;
  if (lane.choice != 0 || request.prompt_done) return;
  request.prompt_done = true;
  request.usage.prefill_s = seconds_since(request.began);
  auto running =
      std::count_if(lanes_.begin(), lanes_.end(), [](const Lane* other) { return other->running(); });
  for (const auto& other : request.lanes) {
    if (other->running() || other->answer.over() || running >= options_.running) continue;
    const auto forked = engine_.kv().fork(lane.sequence, lane.computed);
    if (!forked.ok()) return;
    other->sequence = *forked;
    use_adapters(*other);
    other->computed = lane.computed;
    other->kept = lane.kept;
    other->stored = lane.stored;
    other->done = 0;
    other->passed_over = 0;
    givers_.push_back({other.get(), row});
    ++running;
  }
}

// A token from each row, as long as the guess in the next one was what the model chose.
void Worker::give(const Giver& giver) {
  Lane& lane = *giver.lane;
  const std::vector<text::TokenId> draft = std::exchange(lane.draft, {});
  std::size_t right = 0;
  while (give_token(lane, giver.row + right) && right < draft.size() &&
         lane.answer.history().back() == draft[right]) {
    ++right;
    ++lane.computed;
  }
  if (draft.empty()) return;
  lane.drafter.add(std::ssize(draft), static_cast<std::int64_t>(right));
  stats_.guesses += draft.size();
  stats_.guessed_right += right;
}

// False where the answer is over.
bool Worker::give_token(Lane& lane, std::size_t row) {
  Request& request = *lane.request;
  if (request.error || lane.answer.over()) return false;
  const auto vocabulary = static_cast<std::size_t>(engine_.info().vocabulary);
  auto event = lane.answer.next(std::span(logits_).subspan(row * vocabulary, vocabulary), sampler_);
  if (!event.ok()) {
    request.error = std::move(event).error();
    end_request(request);
    return false;
  }
  if (request.usage.first_token_s == 0) request.usage.first_token_s = seconds_since(request.arrived);
  if (*event) {
    ++request.usage.completion_tokens;
    ++stats_.completion_tokens;
    request.stream->push({lane.choice, std::move(**event)});
  }
  if (lane.answer.over()) end_lane(lane);
  return !lane.answer.over();
}

void Worker::end_lane(Lane& lane) {
  if (lane.running()) stop(lane);
  StreamState& stream = *lane.request->stream;
  if (auto rest = lane.answer.rest()) stream.push({lane.choice, std::move(*rest)});
  stream.push({lane.choice, ChoiceEnd{lane.answer.reason()}});
  const auto& lanes = lane.request->lanes;
  const bool all =
      std::all_of(lanes.begin(), lanes.end(), [](const auto& other) { return other->answer.over(); });
  if (all) finish(*lane.request);
}

void Worker::end_request(Request& request) {
  for (const auto& lane : request.lanes) {
    if (lane->answer.over()) continue;
    lane->answer.cancel();
    end_lane(*lane);
  }
}

void Worker::finish(Request& request) {
  request.usage.total_s = seconds_since(request.arrived);
  ++stats_.requests;
  if (request.error && request.error->kind != ErrorKind::kCancelled) {
    ++stats_.failed;
  } else if (request.error || request.stream->cancelled()) {
    ++stats_.cancelled;
  }
  request.stream->push({0, RequestEnd{request.usage, request.error}});
}

void Worker::remove_finished() {
  std::erase_if(requests_, [&](const auto& request) {
    const auto& lanes = request->lanes;
    if (!std::all_of(lanes.begin(), lanes.end(), [](const auto& lane) { return lane->answer.over(); }))
      return false;
    const auto tenant = tenants_.find(request->tenant);
    if (--tenant->second.requests == 0) tenants_.erase(tenant);
    return true;
  });
}

ServiceStats Worker::stats() const {
  ServiceStats stats = stats_;
  for (const auto& request : requests_) {
    stats.waiting += request->has_begun ? 0 : 1;
    for (const auto& lane : request->lanes) stats.running += lane->running() ? 1 : 0;
  }
  stats.pages = engine_.kv().total_pages();
  stats.pages_cached = cache_ ? cache_->pages() : 0;
  if (transfers_) stats.store = transfers_->stats();
  stats.store_tokens = transfers_ ? transfers_->tokens_read() : 0;
  stats.pages_used = stats.pages - engine_.kv().free_pages() - engine_.kv().idle_pages();
  return stats;
}

}  // namespace maestrale::engine
