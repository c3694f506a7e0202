#include "app/session.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "app/render.h"
#include "base/file.h"
#include "engine/draft_model.h"
#include "models/model.h"
#include "ops/cpu/cpu_ops.h"
#include "text/tokenizer/load.h"

namespace maestrale::app {
namespace {

constexpr std::uint64_t kMaxVocabularyBytes = std::uint64_t{1} << 29;
std::atomic<bool> interrupt_seen{false};

extern "C" void on_interrupt(int) {
  interrupt_seen = true;
  std::signal(SIGINT, SIG_DFL);  // the next one ends the program
}

std::uint32_t little_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value |= std::uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return value;
}

// llama2.c's tokenizer.bin does not say how many entries it has: they run to the end of the file.
std::int64_t count_llama2c_entries(std::string_view bytes) {
  std::int64_t count = 0;
  std::size_t at = 4;
  while (at + 8 <= bytes.size()) {
    const std::size_t length = little_endian(bytes, at + 4);
    if (length > bytes.size() - at - 8) break;
    at += 8 + length;
    ++count;
  }
  return count;
}

// The model that guesses comes first, so that the other's plan sees what it left.
Result<std::unique_ptr<engine::Engine>> load_with_draft(files::Checkpoint checkpoint,
                                                        const CommonOptions& common,
                                                        engine::LoadOptions options) {
  CommonOptions plain = common;
  plain.draft.clear();
  plain.mtp = false;  // one guesses
  files::Checkpoint smaller = TRY(files::open_checkpoint(common.draft));
  TRY(engine::check_same_vocabulary(checkpoint, smaller));
  engine::LoadOptions small = options;
  small.packed.clear();
  small.prefix_store = false;
  const auto ops = TRY(ops::make_cpu_ops(options.isa, 1));
  small.context = TRY(engine::plan_memory(checkpoint, options)).context;
  const std::int64_t most = TRY(models::plan_model(smaller, *ops)).info.max_context;
  if (most > 0) small.context = std::min(small.context, most);
  CommonOptions bare = plain;
  bare.adapters.clear();
  auto draft = TRY(engine::DraftModel::create(TRY(load_engine(std::move(smaller), bare, small))));
  const std::uint64_t taken = draft->engine().memory().total();
  if (options.memory_budget > 0) options.memory_budget -= std::min(taken, options.memory_budget - 1);
  auto engine = TRY(load_engine(std::move(checkpoint), plain, std::move(options)));
  if (engine->kv().shape().state_bytes() > 0) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "a recurrent model cannot take back what was guessed",
                 .where = "--draft",
                 .found = engine->info().architecture};
  }
  engine->set_draft(std::move(draft));
  return engine;
}

}  // namespace

Result<std::unique_ptr<engine::Engine>> load_engine(files::Checkpoint checkpoint, const CommonOptions& common,
                                                    engine::LoadOptions options) {
  if (!common.draft.empty()) return load_with_draft(std::move(checkpoint), common, std::move(options));
  checkpoint.mtp = common.mtp;
  for (const CommonOptions::AdapterFile& file : common.adapters) {
    options.adapters.push_back({static_cast<int>(checkpoint.adapters.size()), file.scale});
    checkpoint.adapters.push_back(TRY(files::open_adapter(file.path)));
  }
  if (!common.quiet) {
    const engine::MemoryPlan plan = TRY(engine::plan_memory(checkpoint, options));
    write_note("memory: " + plan.render());
  }
  ProgressBar bar("loading", common.quiet);
  options.progress = [&bar](double fraction) { bar.update(fraction); };
  return engine::Engine::load(std::move(checkpoint), options);
}

Result<std::unique_ptr<engine::Engine>> load_engine(const std::string& path, const CommonOptions& common,
                                                    ops::KvType default_kv_type) {
  engine::LoadOptions options = TRY(load_options(common, default_kv_type));
  return load_engine(TRY(files::open_checkpoint(path)), common, std::move(options));
}

Result<const text::Tokenizer*> tokenizer_of(const files::Checkpoint& checkpoint) {
  if (checkpoint.tokenizer) return checkpoint.tokenizer.get();
  return Error{.kind = ErrorKind::kNotFound,
               .what = "no usable tokenizer",
               .where = checkpoint.path.string(),
               .found = checkpoint.tokenizer_problem};
}

Result<std::unique_ptr<const text::Tokenizer>> open_tokenizer(const std::string& path) {
  const std::filesystem::path file(path);
  const std::string name = file.filename().string();
  const auto ends_with = [&name](std::string_view tail) {
    return name.size() >= tail.size() && name.ends_with(tail);
  };
  std::error_code ignored;
  if (std::filesystem::is_regular_file(file, ignored)) {
    if (ends_with("tekken.json")) {
      return text::tokenizer_from_tekken(TRY(read_file(file, kMaxVocabularyBytes)), path);
    }
    if (ends_with(".json")) {
      const auto config = file.parent_path() / "tokenizer_config.json";
      const bool has_config = std::filesystem::exists(config, ignored);
      const std::string config_json = has_config ? TRY(read_file(config, kMaxVocabularyBytes)) : "";
      return text::tokenizer_from_json(TRY(read_file(file, kMaxVocabularyBytes)), config_json, path);
    }
    if (name.find(".model") != std::string::npos) {
      return text::tokenizer_from_sentencepiece(TRY(read_file(file, kMaxVocabularyBytes)), path);
    }
    if (ends_with(".bin") && name.find("tok") != std::string::npos) {
      const std::string bytes = TRY(read_file(file, kMaxVocabularyBytes));
      const std::int64_t entries = count_llama2c_entries(bytes);
      if (entries > 0) return text::tokenizer_from_llama2c(bytes, entries, path);
    }
  }
  files::Checkpoint checkpoint = TRY(files::open_checkpoint(path));
  (void)TRY(tokenizer_of(checkpoint));
  return std::move(checkpoint.tokenizer);
}

Status check_tokens(std::span<const text::TokenId> tokens, std::int64_t vocabulary,
                    const std::string& where) {
  for (const text::TokenId token : tokens) {
    if (token >= 0 && token < vocabulary) continue;
    return Error{.kind = ErrorKind::kInvalidInput,
                 .what = "token outside the vocabulary",
                 .where = where,
                 .expected = fmt::format("ids from 0 to {}", vocabulary - 1),
                 .found = fmt::format("{}", token)};
  }
  return {};
}

Result<std::string> read_stdin(std::uint64_t max_bytes) {
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR && !interrupted()) continue;
    if (got < 0) {
      return Error{.kind = ErrorKind::kIo,
                   .what = fmt::format("cannot read: {}", std::strerror(errno)),
                   .where = "standard input"};
    }
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
    if (text.size() > max_bytes) {
      return Error{.kind = ErrorKind::kResource,
                   .what = "too much text",
                   .where = "standard input",
                   .expected = fmt::format("at most {} bytes", max_bytes)};
    }
  }
}

Result<std::string> read_input(const std::string& path) {
  if (path == "-") return read_stdin(kMaxInputBytes);
  return read_file(path, kMaxInputBytes);
}

void catch_interrupts() {
  interrupt_seen = false;
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
}

void restore_interrupts() { std::signal(SIGINT, SIG_DFL); }
bool interrupted() { return interrupt_seen; }
void clear_interrupt() { interrupt_seen = false; }

}  // namespace maestrale::app
