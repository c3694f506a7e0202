#include "serve/models.h"

#include <fmt/core.h>

namespace maestrale::serve {

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

}  // namespace maestrale::serve
