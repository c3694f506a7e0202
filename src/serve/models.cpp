#include "serve/models.h"

#include <fmt/core.h>

namespace maestrale::serve {

Status Models::add(ServedModel model) {
  for (const auto& other : models_) {
    if (other->id != model.id) continue;
    return Error{.kind = ErrorKind::kUsage,
                 .what = "two models of one name",
                 .found = model.id,
                 .hint = "give them other names with --name"};
  }
  models_.push_back(std::make_unique<ServedModel>(std::move(model)));
  return {};
}

Result<ServedModel*> Models::find(std::string_view name) const {
  constexpr std::string_view kLatest = ":latest";
  std::string known;
  for (const auto& model : models_) {
    if (model->id == name) return model.get();
    if (name.ends_with(kLatest) && model->id == name.substr(0, name.size() - kLatest.size()))
      return model.get();
    known += (known.empty() ? "" : ", ") + model->id;
  }
  return Error{.kind = ErrorKind::kNotFound,
               .what = fmt::format("there is no model '{}' here", name.substr(0, 200)),
               .where = "model",
               .expected = known};
}

Result<ServedModel*> Models::find_chat(std::string_view name) const {
  ServedModel* model = TRY(find(name));
  if (model->chat) return model;
  return Error{
      .kind = ErrorKind::kUnsupported,
      .what = fmt::format("'{}' does not generate text: it is for embeddings or reranking", model->id),
      .where = "model"};
}

Result<ServedModel*> Models::find_encoder(std::string_view name) const {
  ServedModel* model = TRY(find(name));
  if (model->encoder) return model;
  return Error{.kind = ErrorKind::kUnsupported,
               .what = fmt::format("'{}' is served for generating text", model->id),
               .where = "model",
               .hint = "the server embeds and ranks with models that it was given with --embed"};
}

}  // namespace maestrale::serve
