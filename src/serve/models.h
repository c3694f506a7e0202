// The models that are served, by name: what is known of each without its weights, and the way to its service.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat/encoder.h"
#include "chat/service.h"
#include "serve/model_pool.h"

namespace maestrale::serve {

// A loaded model. Exactly one of `chat` (it generates) and `encoder` (it embeds or ranks) is set.
struct ModelService {
  std::unique_ptr<chat::ChatService> chat = nullptr;
  std::unique_ptr<chat::Encoder> encoder = nullptr;

  const engine::Engine& engine() const { return chat ? chat->engine() : encoder->engine(); }
  const text::Tokenizer& tokenizer() const { return *engine().tokenizer(); }
  engine::ServiceStats stats() const { return chat ? chat->stats() : encoder->stats(); }
  void drain(double seconds) const { chat ? chat->drain(seconds) : encoder->drain(seconds); }
};

// Known without the weights.
struct ModelFacts {
  models::ModelInfo info;
  std::int64_t context = 0;                  // positions that an answer may have
  std::string format = {};                   // of the files
  std::string chat_template = {};            // Jinja source, or empty
  std::optional<chat::Abilities> chat = {};  // nothing: it embeds or ranks, and does not generate

  static ModelFacts of(const ModelService& service);
};

// An adapter is a model of its own name that shares its base's service.
struct ServedModel {
  std::string id;
  std::int64_t created_s = 0;
  std::uint64_t file_bytes = 0;
  ModelFacts facts = {};
  std::string base = {};  // of an adapter: the name of the model that it changes
  std::optional<chat::AdapterWish> adapter = {};
  std::size_t slot = 0;  // its weights in the pool; set by Models

  bool generates() const { return facts.chat.has_value(); }
};

class Models {
 public:
  explicit Models(PoolOptions options = {}) : pool_(std::make_unique<ModelPool>(std::move(options))) {}

  // A model that is loaded and stays (the facts are taken from it), one that is loaded when it is asked for,
  // and an adapter of one that is there. kUsage: another model has this name.
  Status add(ServedModel model, std::shared_ptr<ModelService> service);
  Status add(ServedModel model, OpenModel open);
  Status add_adapter(std::string name, const std::string& base, const chat::AdapterWish& wish);

  // "name" or "name:latest"; kNotFound with the names that there are. The model is there as long as this.
  Result<const ServedModel*> find(std::string_view name) const;
  // The same for a model that generates, or that encodes; kUnsupported where it does the other.
  Result<const ServedModel*> find_chat(std::string_view name) const;
  Result<const ServedModel*> find_encoder(std::string_view name) const;
  const std::vector<std::unique_ptr<ServedModel>>& all() const { return models_; }

  ModelPool& pool() { return *pool_; }
  const ModelPool& pool() const { return *pool_; }

 private:
  Status check_name(const std::string& id) const;

  std::unique_ptr<ModelPool> pool_;
  std::vector<std::unique_ptr<ServedModel>> models_;
};

}  // namespace maestrale::serve
