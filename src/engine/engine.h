// Engine: a loaded model with its KV cache, workspace and threads, ready to run sequences.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/constraint.h"
#include "engine/digest.h"
#include "engine/memory_plan.h"
#include "engine/sampler/sampler.h"
#include "files/checkpoint.h"
#include "models/model.h"
#include "ops/kv_cache.h"
#include "ops/ops.h"

namespace maestrale::engine {

class DraftModel;
class MtpDraft;

struct LoadOptions {
  int threads = 0;           // 0: all cores that this process may use
  std::int64_t context = 0;  // positions per sequence; 0: the model's own, at most kDefaultContext
  int sequences = 1;         // sequences that are worked on at once
  // Positions that the KV pool holds for all sequences together, in whole pages and at least `context`; 0:
  // context × sequences. With fit_kv so many at most, and fewer where the budget is short (of free memory a
  // tenth is left alone then).
  std::int64_t kv_tokens = 0;
  bool fit_kv = false;
  ops::KvType kv_type = ops::KvType::kF16;
  std::int64_t batch_rows = 512;    // rows of one forward at most (the prefill chunk)
  std::uint64_t memory_budget = 0;  // bytes; 0: what is free now
  std::string isa = {};             // "ref", "avx2", "avx512"; empty: MAESTRALE_ISA or the best
  bool float_arithmetic =
      false;  // quantised weights expanded to f32: for comparing with the arithmetic of others
  std::filesystem::path packed = {};  // a file of Engine::write_packed(); empty: the weights are packed now
  bool prefix_store = false;          // the plan counts pages on their way to a disk (engine/prefix_store.h)
  bool pack_experts = false;          // while loading, not when a token first chooses them
  models::Progress progress = {};     // called with 0…1 while loading
  // What sequences use of checkpoint.adapters, unless use_adapters() says otherwise.
  std::vector<ops::AdapterChoice> adapters = {};
};
constexpr std::int64_t kDefaultContext = 4096;
constexpr std::int64_t kDefaultDrafts = 8;

// What load() would need, without loading: for `inspect` and for refusals.
Result<MemoryPlan> plan_memory(const files::Checkpoint& checkpoint, const LoadOptions& options);

enum class FinishReason { kStopToken, kStopString, kLength, kContext, kCancelled };
std::string_view finish_reason_name(FinishReason reason);  // "stop", "stop", "length", "length", "cancelled"

struct GenerateRequest {
  std::vector<text::TokenId> prompt;  // not empty
  SamplingParams sampling;
  std::int64_t max_tokens = -1;            // -1: until a stop or the end of the context
  std::vector<std::string> stop_strings;   // not part of the output
  std::vector<text::TokenId> stop_tokens;  // besides the tokenizer's end tokens
  bool ignore_end = false;                 // do not stop at the tokenizer's end tokens
  bool continues_text = false;             // text at the end of the prompt is gone on with
  // Adapters of this request (Engine::use_adapters); nothing: the engine's own. Rows that a cache shares
  // between requests must come from the same choices.
  std::optional<std::vector<ops::AdapterChoice>> adapters = {};
  // Engine::generate: tokens guessed ahead in a step at most, where the time of steps so far says that it
  // pays (engine/draft.h), or always. The answer is the same. A service decides for all of its requests.
  std::int64_t drafts = kDefaultDrafts;
  bool always_draft = false;
};

struct TokenEvent {
  text::TokenId token = 0;
  std::string text;  // whole characters that this token completes; may be empty (held back)
  float logprob = 0;
  std::vector<TokenLogprob> top_logprobs;
  // False at most once, at the end: the text that was held back and no other token. `token` and `logprob`
  // mean nothing then.
  bool is_token = true;
};

struct Generation {
  std::vector<text::TokenId> tokens;  // without the stop token
  std::string text;
  FinishReason reason = FinishReason::kLength;
  double prefill_s = 0, decode_s = 0, first_token_s = 0;
  std::int64_t guesses = 0, guessed_right = 0;  // tokens computed ahead, and how many of them were kept
};

class Engine {
  struct Token {};  // only load() makes engines

 public:
  explicit Engine(Token);
  // Computes the memory plan, refuses with the ways out where it exceeds the budget, then loads.
  static Result<std::unique_ptr<Engine>> load(files::Checkpoint checkpoint, const LoadOptions& options);
  ~Engine();

  const models::ModelInfo& info() const;
  const MemoryPlan& memory() const;
  const files::Checkpoint& checkpoint() const;
  const text::Tokenizer* tokenizer() const;  // null where the model came without one
  std::string_view isa() const;
  int threads() const;
  std::int64_t context() const;
  std::int64_t batch_rows() const;  // rows of one forward at most
  double load_seconds() const;
  // Writes the packed weights to a file for LoadOptions::packed. kResource where there is no room.
  Status write_packed(const std::filesystem::path& path);
  ops::ExpertTraffic expert_traffic() const;

  // Of all that the rows of a KV page follow from, besides tokens and adapters that a request chooses, and
  // how a page stands in memory (engine/identity.h). Reads the model's files, unless the folder `notes` says
  // what is in them.
  Result<Digest> identity(const std::filesystem::path& notes) const;
  std::span<const Digest> adapter_identities() const;  // of checkpoint().adapters

  // A smaller model that guesses ahead for all sequences from now on (engine/draft_model.h); null: none.
  void set_draft(std::unique_ptr<DraftModel> draft);
  DraftModel* draft() const;
  // Guesses of the model's own (engine/mtp_draft.h); null where it has none.
  MtpDraft* mtp() const;

  // For whoever shares pages between sequences.
  ops::KvCache& kv();

  // Low level: sequences and forward passes. `rows` beyond batch_rows are cut into chunks by the caller.
  int open_sequence();
  void close_sequence(int sequence);
  // Appends `tokens` to the sequence at `position`…; logits of the last token ([vocabulary]) or of all
  // ([tokens, vocabulary]) are written where asked for. Runs in chunks of batch_rows.
  Status append(int sequence, std::span<const text::TokenId> tokens, std::int64_t position,
                float* last_logits, float* all_logits = nullptr);
  // One forward of a mixed batch; makes KV room itself. kResource where the pool is full.
  Status forward(const models::Batch& batch, float* logits);
  // The same for the final states [logit_rows, hidden_size] or the scores [logit_rows, labels] of the named
  // rows. kUnsupported where the model has none.
  Status states(const models::Batch& batch, float* out);
  Status scores(const models::Batch& batch, float* out);
  // Guesses at the tokens after the batch's, by the model's own layer (models::Model::predict). kUnsupported
  // where it has none.
  Status predict(const models::Batch& batch, float* states, float* logits);
  // What the sequence's rows use of checkpoint().adapters from now on; nothing: LoadOptions::adapters, as for
  // a sequence that opens. kUsage where there is no such adapter. Forks of a sequence must be told too.
  Status check_adapters(const std::optional<std::vector<ops::AdapterChoice>>& choices) const;
  Status use_adapters(int sequence, std::optional<std::vector<ops::AdapterChoice>> choices);
  // Forgets what stands from `tokens` on; returns how many are kept: recurrent models may have to begin
  // again.
  std::int64_t truncate(int sequence, std::int64_t tokens);

  // One request from its prompt; `on_token` returns false to cancel. The prompt's room is checked first.
  Result<Generation> generate(const GenerateRequest& request,
                              const std::function<bool(const TokenEvent&)>& on_token,
                              TokenConstraint* constraint = nullptr);
  // The same on an open sequence that already holds `cached` tokens of request.prompt (a chat going on).
  Result<Generation> generate_on(int sequence, std::int64_t cached, const GenerateRequest& request,
                                 const std::function<bool(const TokenEvent&)>& on_token,
                                 TokenConstraint* constraint = nullptr);

 private:
  Status prepare(const models::Batch& batch);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace maestrale::engine
