#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/memory.h"
#include "base/threads.h"
#include "engine/draft_model.h"
#include "engine/identity.h"
#include "engine/mtp_draft.h"
#include "engine/packed_file.h"
#include "engine/prefix_store.h"
#include "ops/cpu/cpu_ops.h"

namespace maestrale::engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Code, tables, threads and heap of the program itself, and what buffers lose to whole huge pages (measured:
// 14 to 19 MB beyond the rest of the plan, mostly 17, for models of 60 to 450 MB).
constexpr std::uint64_t kProgramBytes = 17'000'000;
constexpr std::uint64_t kTokenizerBytesPerEntry = 300;

Status check_options(const LoadOptions& options) {
  constexpr std::int64_t kMaxContext = 1 << 24;
  constexpr std::int64_t kMaxRows = 4096;  // rows of one product fit a worker's scratch
  if (options.context < 0 || options.context > kMaxContext) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "context out of range",
                 .expected = "1 … " + std::to_string(kMaxContext),
                 .found = std::to_string(options.context)};
  }
  if (options.batch_rows < 1 || options.batch_rows > kMaxRows) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "batch rows out of range",
                 .expected = "1 … " + std::to_string(kMaxRows),
                 .found = std::to_string(options.batch_rows)};
  }
  if (options.sequences < 1 || options.sequences > kMaxRows) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "sequence count out of range",
                 .expected = "1 … " + std::to_string(kMaxRows),
                 .found = std::to_string(options.sequences)};
  }
  constexpr std::int64_t kMaxKvTokens = std::int64_t{1} << 36;
  if (options.kv_tokens < 0 || options.kv_tokens > kMaxKvTokens) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "KV tokens out of range",
                 .expected = "0 … " + std::to_string(kMaxKvTokens),
                 .found = std::to_string(options.kv_tokens)};
  }
  return {};
}

Result<std::unique_ptr<ops::Ops>> make_ops(const LoadOptions& options) {
  return ops::make_cpu_ops(options.isa, options.threads == 0 ? available_cores() : options.threads,
                           options.float_arithmetic ? ops::Arithmetic::kFloat : ops::Arithmetic::kQuantised);
}

std::int64_t context_for(const models::ModelInfo& info, const LoadOptions& options) {
  if (options.context > 0) return options.context;
  return info.max_context > 0 ? std::min(info.max_context, kDefaultContext) : kDefaultContext;
}

// A GGUF file's own list of tokens has a row in the table for each. Folders are different: their tokenizers
// may know tokens that the model never had, and such an id is refused where it is used.
Status check_vocabulary(const files::Checkpoint& checkpoint, const models::ModelInfo& info) {
  if (checkpoint.dialect != files::Dialect::kGguf || checkpoint.tokenizer == nullptr) return {};
  const auto tokens = static_cast<std::int64_t>(checkpoint.tokenizer->size());
  if (tokens <= info.vocabulary) return {};
  return Error{.what = "the vocabulary has more tokens than the embedding table has rows",
               .where = checkpoint.path.string(),
               .expected = "at most " + std::to_string(info.vocabulary),
               .found = std::to_string(tokens),
               .hint = "vocabulary and weights do not belong together"};
}

// Logits of one forward: one row per sequence, and of tokens guessed ahead where there are many sequences.
// The model's own layer guesses for as many sequences at once as there are guesses.
std::uint64_t logit_bytes(const models::ModelInfo& info, const LoadOptions& options) {
  const auto sequences = static_cast<std::uint64_t>(options.sequences);
  const std::uint64_t guesses = sequences > 1 ? 16 : 0;
  std::uint64_t rows = sequences + guesses;
  if (info.mtp) rows += std::min(sequences, guesses + 1);
  return static_cast<std::uint64_t>(info.vocabulary) * rows * sizeof(float);
}

std::uint64_t budget_of(const LoadOptions& options) {
  return options.memory_budget == 0 ? available_memory() : options.memory_budget;
}

// Pages of the KV pool: what was asked for, at least one whole context; where they may be fewer, what the
// budget leaves beside `fixed` bytes.
Result<std::int64_t> pool_pages(std::int64_t context, std::size_t page_bytes, std::uint64_t fixed,
                                const LoadOptions& options) {
  const std::int64_t least = ops::KvShape::pages_for(context);
  const std::int64_t wanted =
      options.kv_tokens == 0 ? least * options.sequences : ops::KvShape::pages_for(options.kv_tokens);
  if (wanted < least) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "the KV pool holds less than one context",
                 .expected = "at least " + std::to_string(context) + " tokens",
                 .found = std::to_string(options.kv_tokens)};
  }
  if (!options.fit_kv || page_bytes == 0) return wanted;
  std::uint64_t budget = budget_of(options);
  if (options.memory_budget == 0) budget -= budget / 10;
  const std::uint64_t pages = budget > fixed ? (budget - fixed) / page_bytes : 0;
  return static_cast<std::int64_t>(
      std::clamp(pages, static_cast<std::uint64_t>(least), static_cast<std::uint64_t>(wanted)));
}

Result<MemoryPlan> make_plan(const models::LoadPlan& load, const files::Checkpoint& checkpoint,
                             const ops::Ops& ops, const LoadOptions& options) {
  MemoryPlan plan;
  ops::KvShape kv = load.kv;
  kv.type = options.kv_type;
  plan.context = context_for(load.info, options);
  plan.sequences = options.sequences;
  plan.kv_type = ops::kv_type_name(options.kv_type);
  plan.kv_bytes_per_token = kv.page_bytes() / ops::kPageTokens;
  plan.weights = load.weight_bytes;
  plan.workspace = load.workspace_bytes(options.batch_rows) +
                   ops.scratch_bytes(options.batch_rows, load.widest_input) + logit_bytes(load.info, options);
  const std::int64_t entries = checkpoint.tokenizer == nullptr ? 0 : checkpoint.tokenizer->size();
  plan.base = kProgramBytes + static_cast<std::uint64_t>(entries) * kTokenizerBytesPerEntry;
  for (const HugeBuffer& buffer : checkpoint.buffers) plan.base += buffer.size();
  if (options.prefix_store)
    plan.base += kv.page_bytes() * static_cast<std::size_t>(PrefixStore::pages_in_memory(options.batch_rows));
  plan.kv_cache = (kv.state_bytes() + kv.recent_bytes()) * static_cast<std::uint64_t>(options.sequences);
  plan.kv_pages = TRY(pool_pages(plan.context, kv.page_bytes(), plan.total(), options));
  plan.kv_cache += kv.page_bytes() * static_cast<std::uint64_t>(plan.kv_pages);
  return plan;
}

PackedIdentity packed_identity(const files::Checkpoint& checkpoint, const LoadOptions& options,
                               std::size_t bytes) {
  return {.source = fingerprint(checkpoint), .bytes = bytes, .float_arithmetic = options.float_arithmetic};
}

Status check_choices(std::span<const ops::AdapterChoice> choices, const files::Checkpoint& checkpoint) {
  for (const ops::AdapterChoice& choice : choices) {
    if (choice.adapter >= 0 && static_cast<std::size_t>(choice.adapter) < checkpoint.adapters.size())
      continue;
    return Error{.kind = ErrorKind::kUsage,
                 .what = "no such adapter",
                 .expected = "one of " + std::to_string(checkpoint.adapters.size()),
                 .found = std::to_string(choice.adapter)};
  }
  return {};
}

Error missing(const std::string& what, const models::ModelInfo& info, const files::Checkpoint& checkpoint) {
  const bool encoder = info.states && !info.logits;
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "this model cannot " + what,
               .where = checkpoint.path.string(),
               .found = "architecture " + info.architecture + (encoder ? ", which has no head" : ""),
               .hint = encoder ? "use maestrale embed" : ""};
}

}  // namespace

struct Engine::State {
  files::Checkpoint checkpoint;
  LoadOptions options;
  MemoryPlan plan;
  PackedFile packed;
  std::unique_ptr<ops::Ops> ops;
  std::unique_ptr<models::Model> model;
  std::optional<ops::KvCache> cache;
  HugeBuffer workspace;
  double load_seconds = 0;
  std::unique_ptr<DraftModel> draft;
  std::unique_ptr<MtpDraft> mtp;
  std::vector<float> logits;
  SamplerWorkspace sampler;
  std::vector<std::int32_t> positions, sequences, rows;   // scratch of append()
  std::vector<std::vector<ops::AdapterChoice>> adapters;  // of each sequence
  std::vector<Digest> adapter_identities;
  std::vector<ops::AdapterChoices> row_adapters;  // of a batch

  void use_adapters(int sequence, std::vector<ops::AdapterChoice> choices) {
    const auto index = static_cast<std::size_t>(sequence);
    if (adapters.size() <= index) adapters.resize(index + 1);
    adapters[index] = std::move(choices);
  }

  // What was computed follows from the files only if they are still what they were.
  Status check_files() const {
    for (const MappedFile& file : checkpoint.mappings) TRY(file.check_unchanged());
    return packed.check_unchanged();
  }
};

Engine::Engine(Token) : state_(std::make_unique<State>()) {}
Engine::~Engine() = default;

void Engine::set_draft(std::unique_ptr<DraftModel> draft) { state_->draft = std::move(draft); }
DraftModel* Engine::draft() const { return state_->draft.get(); }
MtpDraft* Engine::mtp() const { return state_->mtp.get(); }

Result<MemoryPlan> plan_memory(const files::Checkpoint& checkpoint, const LoadOptions& options) {
  TRY(check_options(options));
  const auto ops = TRY(make_ops(options));
  return make_plan(TRY(models::plan_model(checkpoint, *ops)), checkpoint, *ops, options);
}

Result<std::unique_ptr<Engine>> Engine::load(files::Checkpoint checkpoint, const LoadOptions& options) {
  const Clock::time_point start = Clock::now();
  TRY(check_options(options));
  auto engine = std::make_unique<Engine>(Token{});
  State& state = *engine->state_;
  state.checkpoint = std::move(checkpoint);
  state.options = options;
  state.ops = TRY(make_ops(options));
  const models::LoadPlan load = TRY(models::plan_model(state.checkpoint, *state.ops));
  TRY(check_vocabulary(state.checkpoint, load.info));
  TRY(check_choices(options.adapters, state.checkpoint));
  state.plan = TRY(make_plan(load, state.checkpoint, *state.ops, options));
  TRY(state.plan.check(budget_of(options)));
  if (options.packed.empty()) {
    TRY(state.ops->reserve_weights(load.weight_bytes));
  } else {
    state.packed = TRY(PackedFile::open(options.packed, state.checkpoint.path,
                                        packed_identity(state.checkpoint, options, load.weight_bytes)));
    state.ops->use_packed(state.packed.weights());
  }
  TRY(state.ops->reserve_scratch(options.batch_rows, load.widest_input));
  state.model = TRY(models::load_model(state.checkpoint, *state.ops, options.progress));
  if (!options.packed.empty()) TRY(state.packed.check_order(state.ops->packed_order()));
  if (options.pack_experts) state.ops->pack_waiting();
  for (const MappedFile& file : state.checkpoint.mappings) {
    TRY(file.check_unchanged());
    file.release(file.bytes());  // what packing left behind; rows of the embedding table come back one by one
  }
  for (const files::Adapter& adapter : state.checkpoint.adapters)
    state.adapter_identities.push_back(adapter_identity(adapter));
  ops::KvShape kv = load.kv;
  kv.type = options.kv_type;
  state.cache = TRY(ops::KvCache::create(kv, state.plan.kv_pages, options.sequences));
  state.workspace = TRY(HugeBuffer::allocate(state.model->workspace_bytes(options.batch_rows)));
  TRY(state.workspace.populate());
  state.logits.resize(static_cast<std::size_t>(load.info.vocabulary));
  if (load.info.mtp) state.mtp = std::make_unique<MtpDraft>();
  if (options.progress) options.progress(1.0);
  state.load_seconds = seconds_since(start);
  return engine;
}

Status Engine::write_packed(const std::filesystem::path& path) {
  state_->ops->pack_waiting();
  const auto weights = state_->ops->packed_weights();
  PackedIdentity identity = packed_identity(state_->checkpoint, state_->options, weights.size());
  identity.order = state_->ops->packed_order();
  return engine::write_packed(path, identity, weights);
}

Result<Digest> Engine::identity(const std::filesystem::path& notes) const {
  const State& state = *state_;
  std::string text = TRY(program_identity()).hex() + TRY(checkpoint_identity(state.checkpoint, notes)).hex();
  text += shape_text(state.cache->shape()) + (state.options.float_arithmetic ? " float " : " ");
  return digest_of(text + adapters_text(state.options.adapters, state.adapter_identities));
}

std::span<const Digest> Engine::adapter_identities() const { return state_->adapter_identities; }

const models::ModelInfo& Engine::info() const { return state_->model->info(); }
const MemoryPlan& Engine::memory() const { return state_->plan; }
const files::Checkpoint& Engine::checkpoint() const { return state_->checkpoint; }
const text::Tokenizer* Engine::tokenizer() const { return state_->checkpoint.tokenizer.get(); }
std::string_view Engine::isa() const { return state_->ops->isa(); }
int Engine::threads() const { return state_->ops->threads(); }
std::int64_t Engine::context() const { return state_->plan.context; }
std::int64_t Engine::batch_rows() const { return state_->options.batch_rows; }
ops::KvCache& Engine::kv() { return *state_->cache; }
double Engine::load_seconds() const { return state_->load_seconds; }
ops::ExpertTraffic Engine::expert_traffic() const { return state_->ops->expert_traffic(); }
int Engine::open_sequence() {
  const int sequence = state_->cache->open_sequence();
  state_->use_adapters(sequence, state_->options.adapters);
  return sequence;
}
void Engine::close_sequence(int sequence) {
  if (state_->draft) state_->draft->forget(sequence);
  state_->cache->close_sequence(sequence);
}
std::int64_t Engine::truncate(int sequence, std::int64_t tokens) {
  return state_->cache->truncate(sequence, tokens);
}

Status Engine::check_adapters(const std::optional<std::vector<ops::AdapterChoice>>& choices) const {
  return choices ? check_choices(*choices, checkpoint()) : Status();
}

Status Engine::use_adapters(int sequence, std::optional<std::vector<ops::AdapterChoice>> choices) {
  TRY(check_adapters(choices));
  state_->use_adapters(sequence, choices ? std::move(*choices) : state_->options.adapters);
  return {};
}

// Checks the rows, makes room for them and says which adapters they use.
Status Engine::prepare(const models::Batch& batch) {
  const std::size_t rows = batch.tokens.size();
  CHECK(rows == batch.positions.size() && rows == batch.sequences.size(), "a batch is rectangular");
  CHECK(rows >= 1 && rows <= static_cast<std::size_t>(state_->options.batch_rows),
        "a batch fits the workspace");
  for (std::size_t row = 0; row < rows; ++row) {
    if (batch.tokens[row] < 0 || batch.tokens[row] >= info().vocabulary) {
      return Error{.what = "token id out of range",
                   .where = "prompt",
                   .expected = "0 … " + std::to_string(info().vocabulary - 1),
                   .found = std::to_string(batch.tokens[row])};
    }
    if (batch.positions[row] >= context()) {
      return Error{.kind = ErrorKind::kResource,
                   .what = "position beyond the context",
                   .expected = "at most " + std::to_string(context()) + " tokens",
                   .found = std::to_string(batch.positions[row] + 1),
                   .hint = "use a larger --context"};
    }
    if (info().whole_texts && info().max_context > 0 && batch.positions[row] >= info().max_context) {
      return Error{.kind = ErrorKind::kResource,
                   .what = "position beyond those that the model knows",
                   .expected = "at most " + std::to_string(info().max_context) + " tokens",
                   .found = std::to_string(batch.positions[row] + 1)};
    }
    TRY(state_->cache->reserve_to_write(batch.sequences[row], batch.positions[row],
                                        batch.positions[row] + 1));
  }
  state_->row_adapters.clear();
  if (!checkpoint().adapters.empty()) {
    for (const std::int32_t sequence : batch.sequences)
      state_->row_adapters.emplace_back(state_->adapters[static_cast<std::size_t>(sequence)]);
  }
  state_->ops->choose_adapters(state_->row_adapters);
  return {};
}

Status Engine::forward(const models::Batch& batch, float* logits) {
  if (!info().logits) return missing("predict tokens", info(), checkpoint());
  TRY(prepare(batch));
  state_->model->forward(*state_->ops, batch, *state_->cache,
                         {state_->workspace.data(), state_->workspace.size()}, logits);
  return state_->check_files();
}

Status Engine::states(const models::Batch& batch, float* out) {
  if (!info().states) return missing("give embeddings", info(), checkpoint());
  TRY(prepare(batch));
  state_->model->states(*state_->ops, batch, *state_->cache,
                        {state_->workspace.data(), state_->workspace.size()}, out);
  return state_->check_files();
}

Status Engine::scores(const models::Batch& batch, float* out) {
  if (info().labels == 0) return missing("score texts", info(), checkpoint());
  TRY(prepare(batch));
  state_->model->scores(*state_->ops, batch, *state_->cache,
                        {state_->workspace.data(), state_->workspace.size()}, out);
  return state_->check_files();
}

Status Engine::predict(const models::Batch& batch, float* states, float* logits) {
  if (!info().mtp) return missing("guess further tokens", info(), checkpoint());
  TRY(prepare(batch));
  state_->model->predict(*state_->ops, batch, *state_->cache,
                         {state_->workspace.data(), state_->workspace.size()}, states, logits);
  return {};
}

Status Engine::append(int sequence, std::span<const text::TokenId> tokens, std::int64_t position,
                      float* last_logits, float* all_logits) {
  const auto chunk = static_cast<std::size_t>(state_->options.batch_rows);
  for (std::size_t begin = 0; begin < tokens.size(); begin += chunk) {
    const std::size_t n = std::min(chunk, tokens.size() - begin);
    state_->positions.resize(n);
    state_->sequences.assign(n, sequence);
    state_->rows.clear();
    for (std::size_t i = 0; i < n; ++i) {
      state_->positions[i] = static_cast<std::int32_t>(position + static_cast<std::int64_t>(begin + i));
      const bool last = begin + i + 1 == tokens.size();
      if (all_logits != nullptr || (last && last_logits != nullptr))
        state_->rows.push_back(static_cast<std::int32_t>(i));
    }
    const models::Batch batch{tokens.subspan(begin, n), state_->positions, state_->sequences, state_->rows};
    float* out = all_logits == nullptr ? last_logits
                                       : all_logits + begin * static_cast<std::size_t>(info().vocabulary);
    TRY(forward(batch, out));
  }
  if (all_logits != nullptr && last_logits != nullptr) {
    const auto vocabulary = static_cast<std::size_t>(info().vocabulary);
    std::copy_n(all_logits + (tokens.size() - 1) * vocabulary, vocabulary, last_logits);
  }
  return {};
}

}  // namespace maestrale::engine
