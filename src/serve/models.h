// The models that are served, by name.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat/service.h"

namespace maestrale::serve {

struct ServedModel {
  std::string id;
  std::unique_ptr<chat::ChatService> chat;
  std::int64_t created_s = 0;
  std::uint64_t file_bytes = 0;
  double load_s = 0;
};

class Models {
 public:
  void add(ServedModel model) { models_.push_back(std::make_unique<ServedModel>(std::move(model))); }
  // "name" or "name:latest"; kNotFound with the names that there are.
  Result<ServedModel*> find(std::string_view name) const;
  const std::vector<std::unique_ptr<ServedModel>>& all() const { return models_; }

 private:
  std::vector<std::unique_ptr<ServedModel>> models_;
};

}  // namespace maestrale::serve
