#include "serve/models.h"

#include <fmt/core.h>

namespace maestrale::serve {

ModelFacts ModelFacts::of(const ModelService& service) {
  const engine::Engine& engine = service.engine();
  ModelFacts facts{.info = engine.info(),
                   .context = engine.context(),
                   .format = std::string(files::dialect_name(engine.checkpoint().dialect)),
                   .chat_template = engine.checkpoint().chat_template};
  if (service.chat) facts.chat = service.chat->abilities();
  return facts;
}

Status Models::check_name(const std::string& id) const {
  for (const auto& other : models_) {
    if (other->id != id) continue;
    return Error{.kind = ErrorKind::kUsage,
                 .what = "two models of one name",
                 .found = id,
                 .hint = "give them other names with --name"};
  }
  return {};
}

Status Models::add(ServedModel model, std::shared_ptr<ModelService> service) {
  TRY(check_name(model.id));
  model.facts = ModelFacts::of(*service);
  model.slot = pool_->add(model.id, std::move(service));
  models_.push_back(std::make_unique<ServedModel>(std::move(model)));
  return {};
}

Status Models::add(ServedModel model, OpenModel open) {
  TRY(check_name(model.id));
  model.slot = pool_->add(model.id, std::move(open));
  models_.push_back(std::make_unique<ServedModel>(std::move(model)));
  return {};
}

Status Models::add_adapter(std::string name, const std::string& base, const chat::AdapterWish& wish) {
  TRY(check_name(name));
  ServedModel model = *TRY(find(base));
  model.id = std::move(name);
  model.base = base;
  model.adapter = wish;
  models_.push_back(std::make_unique<ServedModel>(std::move(model)));
  return {};
}

Result<const ServedModel*> Models::find(std::string_view name) const {
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

Result<const ServedModel*> Models::find_chat(std::string_view name) const {
  const ServedModel* model = TRY(find(name));
  if (model->generates()) return model;
  return Error{
      .kind = ErrorKind::kUnsupported,
      .what = fmt::format("'{}' does not generate text: it is for embeddings or reranking", model->id),
      .where = "model"};
}

Result<const ServedModel*> Models::find_encoder(std::string_view name) const {
  const ServedModel* model = TRY(find(name));
  if (!model->generates()) return model;
  return Error{.kind = ErrorKind::kUnsupported,
               .what = fmt::format("'{}' is served for generating text", model->id),
               .where = "model",
               .hint = "the server embeds and ranks with models that it was given with --embed"};
}

}  // namespace maestrale::serve
