// Reranking: how well documents answer a query, as a number in [0, 1]. Decoders are asked for yes or no in
// the form of Qwen3-Reranker (arXiv 2506.05176); encoders score the pair with their own head
// (cross-encoders).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace maestrale::engine {

inline constexpr std::string_view kRerankInstruction =
    "Given a web search query, retrieve relevant passages that answer the query";

// Tokens of one query and document as the model wants them.
struct RerankPair {
  std::vector<text::TokenId> tokens;
  std::vector<std::int32_t> types;  // encoders with token types; else empty
};

class Reranker {
 public:
  // kUnsupported: no tokenizer, neither a head for pairs nor the words yes and no, several labels.
  static Result<Reranker> create(Engine& engine, std::string instruction = std::string(kRerankInstruction));
  // The form of a pair, before there is an engine: `scorer` says that the model has a head for pairs.
  static RerankPair pair(const text::Tokenizer& tokenizer, bool scorer, bool types,
                         std::string_view instruction, std::string_view query, std::string_view document);
  // The same for this model, with another instruction where it is not empty; any thread.
  RerankPair pair_of(std::string_view query, std::string_view document,
                     std::string_view instruction = {}) const;
  // Tokens that a pair may have.
  std::int64_t longest() const;
  // kResource: the pair is longer than that.
  Result<double> score(const RerankPair& pair);
  // One score per document, in order. kResource: a pair is too long; `where` says which.
  Result<std::vector<double>> score(std::string_view query, std::span<const std::string> documents);

 private:
  explicit Reranker(Engine& engine) : engine_(&engine) {}
  Result<double> by_head(const RerankPair& pair);
  Result<double> by_words(const RerankPair& pair);

  Engine* engine_;
  std::string instruction_;
  text::TokenId yes_ = 0, no_ = 0;
  std::vector<float> results_;
};

}  // namespace maestrale::engine
