// The models that are served, by name.
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

namespace maestrale::serve {

// Exactly one of `chat` (it generates) and `encoder` (it embeds or ranks) is set. An adapter is a model of
// its own name that shares its base's service.
struct ServedModel {
  std::string id;
  std::shared_ptr<chat::ChatService> chat = nullptr;
  std::unique_ptr<chat::Encoder> encoder = nullptr;
  std::int64_t created_s = 0;
  std::uint64_t file_bytes = 0;
  double load_s = 0;
  std::string base = {};  // of an adapter: the name of the model that it changes
  std::optional<chat::AdapterWish> adapter = {};

  const engine::Engine& engine() const { return chat ? chat->engine() : encoder->engine(); }
  const text::Tokenizer& tokenizer() const { return *engine().tokenizer(); }
  engine::ServiceStats stats() const { return chat ? chat->stats() : encoder->stats(); }
  void drain(double seconds) const { chat ? chat->drain(seconds) : encoder->drain(seconds); }
};

class Models {
 public:
  // kUsage: another model has this name.
  Status add(ServedModel model);
  // "name" or "name:latest"; kNotFound with the names that there are.
  Result<ServedModel*> find(std::string_view name) const;
  // The same for a model that generates, or that encodes; kUnsupported where it does the other.
  Result<ServedModel*> find_chat(std::string_view name) const;
  Result<ServedModel*> find_encoder(std::string_view name) const;
  const std::vector<std::unique_ptr<ServedModel>>& all() const { return models_; }

 private:
  std::vector<std::unique_ptr<ServedModel>> models_;
};

}  // namespace maestrale::serve
