// EncodeService: one thread that turns texts into vectors, or pairs into scores, for many requests at once.
// It does for encoders (and decoders that embed) what Service does for models that generate: requests wait in
// a bounded queue and take turns by tenant; what one gets does not depend on the others.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/embed.h"
#include "engine/engine.h"
#include "engine/rerank.h"
#include "engine/service.h"

namespace maestrale::engine {

struct EncodeRequest {
  // Special tokens included; token types only where scores are wanted.
  std::vector<RerankPair> texts;
  bool scores = false;          // a score of each, instead of a vector
  std::int64_t dimensions = 0;  // of a vector: 1 … hidden_size; 0: all
  std::string tenant = {};
};

// `vectors` or `scores`, one for each text, in order.
struct EncodeAnswer {
  std::vector<std::vector<float>> vectors;
  std::vector<double> scores;
  Usage usage;
};

// Called once, on the service's thread, unless submit() refused: with the answer, or with kCancelled.
using EncodeDone = std::function<void(Result<EncodeAnswer>)>;

// Setting it cancels: nothing more is computed after the batch under way.
using CancelFlag = std::shared_ptr<std::atomic<bool>>;

class EncodeService {
 public:
  // kUnsupported: a model that gives neither vectors nor scores.
  static Result<std::unique_ptr<EncodeService>> start(std::unique_ptr<Engine> engine, std::int64_t queue);
  virtual ~EncodeService() = default;  // cancels what still waits and joins the thread
  // Any thread. Errors: kUsage (empty text, dimensions), kResource (a text that is too long; queue full; no
  // new requests are taken any more); kUnsupported (not what this model gives). `where` is "N", the text's
  // index.
  virtual Result<CancelFlag> submit(EncodeRequest request, EncodeDone done) = 0;
  virtual const Engine& engine() const = 0;  // its information only
  virtual const Embedder* embedder()
      const = 0;  // null where the model gives no vectors; its information only
  virtual const Reranker* reranker() const = 0;  // null where the model gives no scores; its forms only
  virtual ServiceStats stats() const = 0;
  // Refuses new requests and waits until the others are over, at most so long; then cancels the rest.
  virtual void drain(double seconds) = 0;
};

}  // namespace maestrale::engine
