// Encoder: a loaded model that embeds texts or ranks documents, whatever API asks; any thread may ask.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "engine/encode_service.h"

namespace maestrale::chat {

struct EmbedRequest {
  std::vector<std::variant<std::string, std::vector<text::TokenId>>> inputs;
  std::int64_t dimensions = 0;  // 0: all that the model has
  bool truncate = false;        // cut inputs that are too long, instead of refusing them
  std::string tenant = {};
  std::string where = "input";  // the field that holds the inputs
  bool is_list = true;          // … as a list
};

struct RerankRequest {
  std::string query;
  std::vector<std::string> documents;
  std::string instruction = {};  // for decoders, which are told what to judge; empty: the usual one
  std::string tenant = {};
};

class Encoder {
 public:
  // kNotFound: a model without a tokenizer.
  static Result<std::unique_ptr<Encoder>> create(std::unique_ptr<engine::EncodeService> service);

  // `done` as in engine::EncodeService::submit. Errors: kResource only where the queue is full; all others
  // are the request's fault, `where` names the field. What is too long is refused with both numbers.
  Result<engine::CancelFlag> embed(const EmbedRequest& request, engine::EncodeDone done);
  Result<engine::CancelFlag> rerank(const RerankRequest& request, engine::EncodeDone done);

  bool can_embed() const { return service_->embedder() != nullptr; }
  bool can_rank() const { return service_->reranker() != nullptr; }
  const engine::Engine& engine() const { return service_->engine(); }
  engine::ServiceStats stats() const { return service_->stats(); }
  void drain(double seconds) { service_->drain(seconds); }

 private:
  explicit Encoder(std::unique_ptr<engine::EncodeService> service) : service_(std::move(service)) {}

  std::unique_ptr<engine::EncodeService> service_;
};

}  // namespace maestrale::chat
