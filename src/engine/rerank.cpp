#include "engine/rerank.h"

#include <cmath>
#include <numeric>
#include <utility>

namespace maestrale::engine {
namespace {

constexpr std::string_view kBefore =
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
    "Instruct "
    "provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n";
constexpr std::string_view kAfter = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";

Error cannot(const Engine& engine, const std::string& found) {
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "this model cannot score texts",
               .where = engine.checkpoint().path.string(),
               .expected = "a reranker: one label of an encoder's head, or a decoder that answers yes or no",
               .found = found};
}

void append(std::vector<text::TokenId>& to, const std::vector<text::TokenId>& tokens, std::size_t from = 0) {
  to.insert(to.end(), tokens.begin() + static_cast<std::ptrdiff_t>(from), tokens.end());
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

Result<Reranker> Reranker::create(Engine& engine, std::string instruction) {
  const text::Tokenizer* tokenizer = engine.tokenizer();
  if (tokenizer == nullptr) return cannot(engine, "no tokenizer");
  Reranker reranker(engine);
  reranker.instruction_ = std::move(instruction);
  const models::ModelInfo& info = engine.info();
  if (info.labels > 1) return cannot(engine, std::to_string(info.labels) + " labels");
  if (info.labels == 1) {
    reranker.results_.resize(1);
    return reranker;
  }
  if (!info.logits) return cannot(engine, "an encoder without a head");
  const auto yes = tokenizer->encode("yes"), no = tokenizer->encode("no");
  if (yes.size() != 1 || no.size() != 1) return cannot(engine, "no tokens for yes and no");
  reranker.yes_ = yes.front();
  reranker.no_ = no.front();
  reranker.results_.resize(static_cast<std::size_t>(info.vocabulary));
  return reranker;
}

RerankPair Reranker::pair(const text::Tokenizer& tokenizer, bool scorer, bool types,
                          std::string_view instruction, std::string_view query, std::string_view document) {
  RerankPair pair;
  if (!scorer) {
    const std::string text = "<Instruct>: " + std::string(instruction) + "\n<Query>: " + std::string(query) +
                             "\n<Document>: " + std::string(document);
    append(pair.tokens, tokenizer.encode(kBefore, {.parse_special = true}));
    append(pair.tokens, tokenizer.encode(text));
    append(pair.tokens, tokenizer.encode(kAfter, {.parse_special = true}));
    return pair;
  }
  // [CLS] query [SEP] document [SEP]; RoBERTa's vocabularies: <s> query </s></s> document </s>.
  append(pair.tokens, tokenizer.encode(query, {.add_special = true}));
  const std::size_t first = pair.tokens.size();
  const auto second = tokenizer.encode(document, {.add_special = true});
  if (tokenizer.family() != "wordpiece" && !pair.tokens.empty()) pair.tokens.push_back(pair.tokens.back());
  append(pair.tokens, second, second.empty() ? 0 : 1);
  if (!types) return pair;
  pair.types.assign(pair.tokens.size(), 1);
  std::fill_n(pair.types.begin(), first, 0);
  return pair;
}

Result<double> Reranker::by_head(const RerankPair& pair) {
  std::vector<std::int32_t> positions(pair.tokens.size());
  std::iota(positions.begin(), positions.end(), 0);
  const int sequence = engine_->open_sequence();
  const std::vector<std::int32_t> sequences(pair.tokens.size(), sequence), wanted = {0};
  const Status done =
      engine_->scores({pair.tokens, positions, sequences, wanted, pair.types}, results_.data());
  engine_->close_sequence(sequence);
  TRY(done);
  return logistic(static_cast<double>(results_.front()));
}

// The softmax over the logits of yes and no.
Result<double> Reranker::by_words(const RerankPair& pair) {
  const int sequence = engine_->open_sequence();
  const Status done = engine_->append(sequence, pair.tokens, 0, results_.data());
  engine_->close_sequence(sequence);
  TRY(done);
  return logistic(static_cast<double>(results_[static_cast<std::size_t>(yes_)]) -
                  static_cast<double>(results_[static_cast<std::size_t>(no_)]));
}

RerankPair Reranker::pair_of(std::string_view query, std::string_view document,
                             std::string_view instruction) const {
  const text::Tokenizer& tokenizer = *engine_->tokenizer();
  const bool scorer = engine_->info().labels > 0;
  const bool types = scorer && tokenizer.family() == "wordpiece";
  return pair(tokenizer, scorer, types, instruction.empty() ? instruction_ : instruction, query, document);
}

std::int64_t Reranker::longest() const {
  const models::ModelInfo& info = engine_->info();
  std::int64_t longest = engine_->context();
  if (info.max_context > 0) longest = std::min(longest, info.max_context);
  return info.labels > 0 ? std::min(longest, engine_->batch_rows()) : longest;
}

Result<double> Reranker::score(const RerankPair& pair) {
  if (std::ssize(pair.tokens) > longest()) {
    return Error{.kind = ErrorKind::kResource,
                 .what = "query and document are too long together",
                 .expected = "at most " + std::to_string(longest()) + " tokens",
                 .found = std::to_string(pair.tokens.size())};
  }
  return engine_->info().labels > 0 ? by_head(pair) : by_words(pair);
}

Result<std::vector<double>> Reranker::score(std::string_view query, std::span<const std::string> documents) {
  std::vector<double> scores;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    auto score = this->score(pair_of(query, documents[i]));
    if (!score.ok()) {
      score.error().where = "document " + std::to_string(i + 1);
      return std::move(score).error();
    }
    scores.push_back(*score);
  }
  return scores;
}

}  // namespace maestrale::engine
