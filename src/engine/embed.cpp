#include "engine/embed.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

namespace maestrale::engine {
namespace {

using files::Dialect;

constexpr std::array<std::string_view, 3> kNames = {"mean", "cls", "last"};

Error unknown_pooling(const files::Checkpoint& checkpoint, const std::string& found) {
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "the model's pooling is not supported",
               .where = checkpoint.path.string(),
               .expected = "mean, cls or last",
               .found = found,
               .hint = "choose one with --pooling"};
}

// Nothing where the file says nothing (or "none").
Result<std::optional<Pooling>> gguf_pooling(const files::Checkpoint& checkpoint) {
  const JsonFields fields(checkpoint.metadata, checkpoint.path.string());
  const std::string key = TRY(fields.string("general.architecture")) + ".pooling_type";
  if (!fields.has(key)) return std::optional<Pooling>();
  switch (const std::int64_t type = TRY(fields.integer(key))) {
    case 0:  // none: a vector per token
    case 4:  // a score
      return std::optional<Pooling>();
    case 1:
      return std::optional(Pooling::kMean);
    case 2:
      return std::optional(Pooling::kCls);
    case 3:
      return std::optional(Pooling::kLast);
    default:
      return unknown_pooling(checkpoint, key + " " + std::to_string(type));
  }
}

// pooling_mode_*: exactly one is true. Modules that would change the vectors are refused.
Result<std::optional<Pooling>> folder_pooling(const files::Checkpoint& checkpoint) {
  const json::value* modules = checkpoint.embedding.if_contains("modules");
  if (modules == nullptr) return std::optional<Pooling>();
  for (const json::value& module : modules->as_array()) {
    if (module == "Transformer" || module == "Pooling" || module == "Normalize") continue;
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "module '" + std::string(module.as_string()) + "' is not supported",
                 .where = checkpoint.path.string() + "/modules.json",
                 .expected = "Transformer, Pooling, Normalize"};
  }
  const json::value* pooling = checkpoint.embedding.if_contains("pooling");
  if (pooling == nullptr) return std::optional<Pooling>();
  std::optional<Pooling> found;
  for (const auto& [key, value] : pooling->as_object()) {
    const std::string_view name(key.data(), key.size());
    if (!name.starts_with("pooling_mode_") || !value.is_bool() || !value.get_bool()) continue;
    if (found) return unknown_pooling(checkpoint, "several at once");
    if (name == "pooling_mode_mean_tokens") {
      found = Pooling::kMean;
    } else if (name == "pooling_mode_cls_token") {
      found = Pooling::kCls;
    } else if (name == "pooling_mode_lasttoken") {
      found = Pooling::kLast;
    } else {
      return unknown_pooling(checkpoint, std::string(name));
    }
  }
  return found;
}

}  // namespace

std::string_view pooling_name(Pooling pooling) { return kNames[static_cast<std::size_t>(pooling)]; }

std::optional<Pooling> pooling_from_name(std::string_view name) {
  const auto* found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Pooling>(found - kNames.begin());
}

Result<EmbedSettings> embed_settings(const files::Checkpoint& checkpoint, const models::ModelInfo& info,
                                     const EmbedOptions& options) {
  if (options.dimensions < 0 || options.dimensions > info.hidden_size) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "dimensions out of range",
                 .expected = "1 … " + std::to_string(info.hidden_size),
                 .found = std::to_string(options.dimensions)};
  }
  EmbedSettings settings{.pooling = info.whole_texts ? Pooling::kMean : Pooling::kLast,
                         .normalize = options.normalize,
                         .dimensions = options.dimensions == 0 ? info.hidden_size : options.dimensions};
  if (options.pooling) {
    settings.pooling = *options.pooling;
    return settings;
  }
  std::optional<Pooling> stated;
  if (checkpoint.dialect == Dialect::kGguf) stated = TRY(gguf_pooling(checkpoint));
  if (checkpoint.dialect == Dialect::kHuggingFace) stated = TRY(folder_pooling(checkpoint));
  if (stated) settings.pooling = *stated;
  return settings;
}

void truncate_text(std::vector<text::TokenId>& text, std::int64_t most, const text::Tokenizer& tokenizer) {
  if (std::ssize(text) <= most || most < 1) return;
  const text::TokenId last = text.back();
  text.resize(static_cast<std::size_t>(most));
  const auto marks = tokenizer.encode("", {.add_special = true});
  if (!marks.empty() && marks.back() == last) text.back() = last;
}

Result<Embedder> Embedder::create(Engine& engine, const EmbedOptions& options) {
  if (!engine.info().states) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "this model cannot give embeddings",
                 .where = engine.checkpoint().path.string(),
                 .found = "architecture " + engine.info().architecture};
  }
  return Embedder(engine, TRY(embed_settings(engine.checkpoint(), engine.info(), options)));
}

std::int64_t Embedder::longest() const {
  std::int64_t most = engine_->context();
  if (engine_->info().max_context > 0) most = std::min(most, engine_->info().max_context);
  return engine_->info().whole_texts ? std::min(most, engine_->batch_rows()) : most;
}

Status Embedder::check(std::span<const std::vector<text::TokenId>> texts) const {
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto length = static_cast<std::int64_t>(texts[i].size());
    if (length >= 1 && length <= longest()) continue;
    return Error{.kind = length == 0 ? ErrorKind::kUsage : ErrorKind::kResource,
                 .what = length == 0 ? "a text without tokens" : "a text is too long",
                 .where = "text " + std::to_string(i + 1),
                 .expected = "1 … " + std::to_string(longest()) + " tokens",
                 .found = std::to_string(length)};
  }
  return {};
}

// Whether pooling takes the state of the token at `position`.
bool Embedder::wants(std::size_t position, std::size_t length) const {
  return settings_.pooling == Pooling::kMean ||
         position == (settings_.pooling == Pooling::kCls ? 0 : length - 1);
}

// The next rows of a text, at most `most`.
void Embedder::add_rows(const std::vector<text::TokenId>& text, std::size_t index, std::size_t most) {
  Reading& reading = readings_[index];
  for (const std::size_t end = std::min(reading.done + most, text.size()); reading.done < end;
       ++reading.done) {
    if (wants(reading.done, text.size())) {
      rows_.wanted.push_back(static_cast<std::int32_t>(rows_.tokens.size()));
      rows_.owners.push_back(index);
    }
    rows_.tokens.push_back(text[reading.done]);
    rows_.positions.push_back(static_cast<std::int32_t>(reading.done));
    rows_.sequences.push_back(reading.sequence);
  }
}

// Fills a batch: what is left of the text that is not over, then whole texts, then, where the model reads in
// order, the beginning of one more.
void Embedder::gather(std::span<const std::vector<text::TokenId>> texts, std::size_t& next) {
  rows_ = {};
  const auto room = static_cast<std::size_t>(engine_->batch_rows());
  const auto sequences = static_cast<std::size_t>(engine_->memory().sequences);
  if (!readings_.empty()) add_rows(texts[readings_.front().text], 0, room);
  while (next < texts.size() && rows_.tokens.size() < room && readings_.size() < sequences) {
    const std::size_t left = room - rows_.tokens.size();
    if (texts[next].size() > left && (engine_->info().whole_texts || left < room / 2)) break;
    readings_.push_back({.text = next, .sequence = engine_->open_sequence(), .done = 0, .sum = {}});
    readings_.back().sum.resize(static_cast<std::size_t>(engine_->info().hidden_size));
    add_rows(texts[next], readings_.size() - 1, left);
    ++next;
  }
}

Embedder::Pooled Embedder::pooled(Reading reading, std::size_t tokens) const {
  const double count = settings_.pooling == Pooling::kMean ? static_cast<double>(tokens) : 1;
  for (double& value : reading.sum) value /= count;
  return std::move(reading.sum);
}

std::vector<float> Embedder::vector_of(const Pooled& pooled, std::int64_t dimensions) const {
  const auto kept = std::span(pooled).first(static_cast<std::size_t>(dimensions));
  double squares = 0;
  for (const double value : kept) squares += value * value;
  const double length = settings_.normalize && squares > 0 ? std::sqrt(squares) : 1;
  std::vector<float> out;
  out.reserve(kept.size());
  for (const double value : kept) out.push_back(static_cast<float>(value / length));
  return out;
}

Result<std::vector<std::vector<float>>> Embedder::embed(std::span<const std::vector<text::TokenId>> texts) {
  std::vector<std::vector<float>> out;
  for (const Pooled& pooled : TRY(pool(texts))) out.push_back(vector_of(pooled, settings_.dimensions));
  return out;
}

Result<std::vector<Embedder::Pooled>> Embedder::pool(std::span<const std::vector<text::TokenId>> texts,
                                                     const std::function<bool()>& stopped) {
  TRY(check(texts));
  const auto hidden = static_cast<std::size_t>(engine_->info().hidden_size);
  std::vector<Pooled> out(texts.size());
  for (std::size_t next = 0; next < texts.size() || !readings_.empty();) {
    gather(texts, next);
    states_.resize(rows_.wanted.size() * hidden);
    const Status done =
        stopped && stopped()
            ? Status(Error{.kind = ErrorKind::kCancelled, .what = "cancelled"})
            : engine_->states({rows_.tokens, rows_.positions, rows_.sequences, rows_.wanted}, states_.data());
    for (std::size_t i = 0; i < rows_.wanted.size() && done.ok(); ++i) {
      std::vector<double>& sum = readings_[rows_.owners[i]].sum;
      for (std::size_t d = 0; d < hidden; ++d) sum[d] += static_cast<double>(states_[i * hidden + d]);
    }
    std::vector<Reading> unfinished;
    for (Reading& reading : readings_) {
      const std::size_t text = reading.text;
      if (done.ok() && reading.done < texts[text].size()) {
        unfinished.push_back(std::move(reading));
        continue;
      }
      engine_->close_sequence(reading.sequence);
      out[text] = pooled(std::move(reading), texts[text].size());
    }
    readings_ = std::move(unfinished);
    TRY(done);
  }
  return out;
}

}  // namespace maestrale::engine
