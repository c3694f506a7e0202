// Embeddings: from texts' tokens to vectors, by any model that gives final states. A vector depends on its
// own text alone: whatever else is in the batch, its bits are the same.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace maestrale::engine {

enum class Pooling : std::uint8_t { kMean, kCls, kLast };
std::string_view pooling_name(Pooling pooling);  // "mean", "cls", "last"
std::optional<Pooling> pooling_from_name(std::string_view name);

// What a caller may say; what he does not say comes from the model's files.
struct EmbedOptions {
  std::optional<Pooling> pooling;
  bool normalize = true;        // to length 1
  std::int64_t dimensions = 0;  // the first so many, normalised after the cut; 0: all
};

struct EmbedSettings {
  Pooling pooling = Pooling::kMean;
  bool normalize = true;
  std::int64_t dimensions = 0;  // of a vector
};

// GGUF's pooling_type, sentence-transformers' pooling, or mean for encoders and the last token for decoders.
// Refused: poolings and modules that we do not have (by name), more dimensions than the model gives.
Result<EmbedSettings> embed_settings(const files::Checkpoint& checkpoint, const models::ModelInfo& info,
                                     const EmbedOptions& options);

// Cuts a text to its first `most` tokens; where the tokenizer ends texts with a mark, the mark stays the
// last.
void truncate_text(std::vector<text::TokenId>& text, std::int64_t most, const text::Tokenizer& tokenizer);

// Uses the engine's sequences; one thread at a time.
class Embedder {
 public:
  static Result<Embedder> create(Engine& engine, const EmbedOptions& options);
  const EmbedSettings& settings() const { return settings_; }
  // Tokens of each text, special tokens included -> [settings().dimensions] each, in order. kResource where a
  // text is longer than the context, or than a batch where a model reads whole texts; `where` says which.
  Result<std::vector<std::vector<float>>> embed(std::span<const std::vector<text::TokenId>> texts);
  // The same before the vectors are cut and normalised: [hidden_size] each. kCancelled where `stopped`, which
  // is asked before each batch, says so.
  using Pooled = std::vector<double>;
  Result<std::vector<Pooled>> pool(std::span<const std::vector<text::TokenId>> texts,
                                   const std::function<bool()>& stopped = {});
  // The first `dimensions` (1 … hidden_size) of a pooled vector, normalised where the settings say so.
  std::vector<float> vector_of(const Pooled& pooled, std::int64_t dimensions) const;
  // Tokens that one text may have.
  std::int64_t longest() const;

 private:
  Embedder(Engine& engine, const EmbedSettings& settings) : engine_(&engine), settings_(settings) {}
  // A text on its way: `done` of its tokens have been read.
  struct Reading {
    std::size_t text = 0;
    int sequence = 0;
    std::size_t done = 0;
    std::vector<double> sum;  // of the states that pooling takes
  };
  struct Rows {
    std::vector<std::int32_t> tokens, positions, sequences, wanted;
    std::vector<std::size_t> owners;  // of the wanted: index of the reading
  };
  Status check(std::span<const std::vector<text::TokenId>> texts) const;
  bool wants(std::size_t position, std::size_t length) const;
  void add_rows(const std::vector<text::TokenId>& text, std::size_t reading, std::size_t most);
  void gather(std::span<const std::vector<text::TokenId>> texts, std::size_t& next);
  Pooled pooled(Reading reading, std::size_t tokens) const;

  Engine* engine_;
  EmbedSettings settings_;
  std::vector<Reading> readings_;  // of the batch; between batches the one that is not over, if any
  Rows rows_;
  std::vector<float> states_;
};

}  // namespace maestrale::engine
