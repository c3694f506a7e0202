#include "engine/encode_service.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include "engine/inbox.h"

namespace maestrale::engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Work {
  EncodeRequest asked;
  EncodeDone done;
  CancelFlag cancelled = std::make_shared<std::atomic<bool>>(false);
  std::size_t next = 0;  // text that has not been begun
  EncodeAnswer answer;
  Clock::time_point arrived = Clock::now();
};
using WorkPtr = std::unique_ptr<Work>;

// A text of a batch, and whose it is.
struct Place {
  Work* work;
  std::size_t text;
};

class ThreadService final : public EncodeService {
 public:
  ThreadService(std::unique_ptr<Engine> engine, std::optional<Embedder> embedder,
                std::optional<Reranker> reranker, std::int64_t queue)
      : engine_(std::move(engine)),
        embedder_(std::move(embedder)),
        reranker_(std::move(reranker)),
        inbox_(queue),
        thread_([this] { run(); }) {}
  ~ThreadService() override {
    inbox_.stop();
    thread_.join();
  }

  Result<CancelFlag> submit(EncodeRequest request, EncodeDone done) override {
    TRY(check(request));
    auto work = std::make_unique<Work>();
    for (const RerankPair& text : request.texts) work->answer.usage.prompt_tokens += std::ssize(text.tokens);
    work->asked = std::move(request);
    work->done = std::move(done);
    CancelFlag flag = work->cancelled;
    TRY(inbox_.put(std::move(work)));
    return flag;
  }

  const Engine& engine() const override { return *engine_; }
  const Embedder* embedder() const override { return embedder_ ? &*embedder_ : nullptr; }
  const Reranker* reranker() const override { return reranker_ ? &*reranker_ : nullptr; }
  ServiceStats stats() const override { return inbox_.stats(); }
  void drain(double seconds) override { inbox_.drain(seconds); }

 private:
  Status check(const EncodeRequest& request) const {
    if (request.scores ? !reranker_ : !embedder_) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = request.scores ? "this model gives no scores" : "this model gives no embeddings"};
    }
    const std::int64_t hidden = engine_->info().hidden_size;
    if (request.dimensions < 0 || request.dimensions > hidden) {
      return Error{.kind = ErrorKind::kUsage,
                   .what = "dimensions out of range",
                   .where = "dimensions",
                   .expected = "1 … " + std::to_string(hidden),
                   .found = std::to_string(request.dimensions)};
    }
    const std::int64_t most = request.scores ? reranker_->longest() : embedder_->longest();
    for (std::size_t i = 0; i < request.texts.size(); ++i) {
      const auto& tokens = request.texts[i].tokens;
      const auto vocabulary = engine_->info().vocabulary;
      const auto wrong = std::find_if(tokens.begin(), tokens.end(), [vocabulary](text::TokenId token) {
        return token < 0 || token >= vocabulary;
      });
      if (wrong != tokens.end()) {
        return Error{.kind = ErrorKind::kUsage,
                     .what = "a token that the model does not have",
                     .where = std::to_string(i),
                     .expected = "0 … " + std::to_string(vocabulary - 1),
                     .found = std::to_string(*wrong)};
      }
      if (!tokens.empty() && std::ssize(tokens) <= most) continue;
      return Error{.kind = tokens.empty() ? ErrorKind::kUsage : ErrorKind::kResource,
                   .what = tokens.empty() ? "a text without tokens" : "a text is too long",
                   .where = std::to_string(i),
                   .expected = "1 … " + std::to_string(most) + " tokens",
                   .found = std::to_string(tokens.size())};
    }
    return {};
  }

  void run() {
    while (take_requests()) {
      report();
      const Clock::time_point begin = Clock::now();
      step();
      ++stats_.steps;
      stats_.last_step_s = seconds_since(begin);
    }
  }

  // False where the thread is to end.
  bool take_requests() {
    count();
    auto taken = inbox_.take(stats_, std::ssize(work_),
                             work_.empty() ? Inbox<WorkPtr>::Work::kNone : Inbox<WorkPtr>::Work::kMore);
    for (WorkPtr& work : taken.items) add(std::move(work));
    if (taken.cut) {
      for (const WorkPtr& work : work_) *work->cancelled = true;
      end_cancelled();
    }
    return !taken.leave;
  }

  // A tenant that comes begins beside those that have been served least.
  void add(WorkPtr work) {
    const auto least = std::min_element(served_.begin(), served_.end(),
                                        [](const auto& a, const auto& b) { return a.second < b.second; });
    served_.try_emplace(work->asked.tenant, least == served_.end() ? 0 : least->second);
    work_.push_back(std::move(work));
  }

  // One request is worked on, the others wait.
  void count() {
    stats_.running = std::min<std::int64_t>(std::ssize(work_), 1);
    stats_.waiting = std::ssize(work_) - stats_.running;
  }

  void report() {
    count();
    inbox_.report(stats_, std::ssize(work_));
  }

  // One batch.
  void step() {
    end_cancelled();
    if (work_.empty()) return;
    const std::vector<Place> places = gather();
    if (places.empty()) {
      // Nothing was asked of the oldest.
    } else if (places.front().work->asked.scores) {
      score(places.front());
    } else {
      embed(places);
    }
    end_finished();
  }

  // The request of the tenant that has had least, the oldest of it.
  Work* first_in_turn() {
    Work* first = nullptr;
    for (const WorkPtr& work : work_) {
      if (work->next == work->asked.texts.size()) continue;
      if (first == nullptr || served_[work->asked.tenant] < served_[first->asked.tenant]) first = work.get();
    }
    return first;
  }

  // Texts for one batch: a pair to score, or texts to embed, as many as fit. A single long one may take
  // several.
  std::vector<Place> gather() {
    std::vector<Place> places;
    std::int64_t left = embedder_ ? engine_->batch_rows() : 0;
    const std::size_t most = static_cast<std::size_t>(engine_->memory().sequences);
    while (Work* work = first_in_turn()) {
      const auto length = std::ssize(work->asked.texts[work->next].tokens);
      const bool mixed = !places.empty() && (work->asked.scores || places.front().work->asked.scores);
      if (mixed || (!places.empty() && length > left) || places.size() == most) break;
      places.push_back({work, work->next++});
      served_[work->asked.tenant] += static_cast<double>(length);
      left -= length;
    }
    return places;
  }

  void score(const Place& place) {
    EncodeAnswer& answer = place.work->answer;
    auto score = reranker_->score(place.work->asked.texts[place.text]);
    if (!score.ok()) return fail(*place.work, std::move(score).error());
    answer.scores.push_back(*score);
  }

  void embed(const std::vector<Place>& places) {
    std::vector<std::vector<text::TokenId>> texts;
    for (const Place& place : places) texts.push_back(place.work->asked.texts[place.text].tokens);
    const auto stopped = [&places] {
      return std::all_of(places.begin(), places.end(),
                         [](const Place& place) { return place.work->cancelled->load(); });
    };
    auto pooled = embedder_->pool(texts, stopped);
    for (std::size_t i = 0; i < places.size(); ++i) {
      Work& work = *places[i].work;
      if (!pooled.ok()) {
        fail(work, pooled.error());
        continue;
      }
      const std::int64_t dimensions =
          work.asked.dimensions > 0 ? work.asked.dimensions : engine_->info().hidden_size;
      work.answer.vectors.push_back(embedder_->vector_of((*pooled)[i], dimensions));
    }
  }

  void fail(Work& work, const Error& error) {
    ++stats_.requests;
    ++(error.kind == ErrorKind::kCancelled ? stats_.cancelled : stats_.failed);
    report();
    if (work.done) std::exchange(work.done, {})(error);
  }

  void end_cancelled() {
    for (const WorkPtr& work : work_) {
      if (*work->cancelled) fail(*work, {.kind = ErrorKind::kCancelled, .what = "the request was cancelled"});
    }
    remove_ended();
  }

  void end_finished() {
    for (const WorkPtr& work : work_) {
      const EncodeRequest& asked = work->asked;
      const std::size_t made = asked.scores ? work->answer.scores.size() : work->answer.vectors.size();
      if (!work->done || made < asked.texts.size()) continue;
      work->answer.usage.total_s = work->answer.usage.first_token_s = seconds_since(work->arrived);
      ++stats_.requests;
      stats_.prompt_tokens += static_cast<std::uint64_t>(work->answer.usage.prompt_tokens);
      report();
      std::exchange(work->done, {})(std::move(work->answer));
    }
    remove_ended();
  }

  void remove_ended() {
    std::erase_if(work_, [](const WorkPtr& work) { return !work->done; });
    std::erase_if(served_, [this](const auto& entry) {
      return std::none_of(work_.begin(), work_.end(),
                          [&entry](const WorkPtr& work) { return work->asked.tenant == entry.first; });
    });
  }

  std::unique_ptr<Engine> engine_;
  std::optional<Embedder> embedder_;
  std::optional<Reranker> reranker_;
  // The thread's own.
  std::deque<WorkPtr> work_;              // by arrival
  std::map<std::string, double> served_;  // tokens of the tenants that wait
  ServiceStats stats_;

  Inbox<WorkPtr> inbox_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<EncodeService>> EncodeService::start(std::unique_ptr<Engine> engine,
                                                            std::int64_t queue) {
  if (queue < 1) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "value out of range",
                 .where = "queue",
                 .expected = "1 and up",
                 .found = std::to_string(queue)};
  }
  std::optional<Embedder> embedder;
  std::optional<Reranker> reranker;
  auto embeds = Embedder::create(*engine, {});
  if (embeds.ok()) embedder.emplace(std::move(embeds).value());
  auto ranks = Reranker::create(*engine);
  if (ranks.ok()) reranker.emplace(std::move(ranks).value());
  // What the model's files ask for and we do not have is worth more than what it has no head for.
  if (!embedder && !reranker) return std::move(embeds).error();
  return std::unique_ptr<EncodeService>(
      std::make_unique<ThreadService>(std::move(engine), std::move(embedder), std::move(reranker), queue));
}

}  // namespace maestrale::engine
