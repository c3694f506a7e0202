// The tensors of a preset: names and shapes as published for its configuration, types of a storage format.
#pragma once

#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "tensor/view.h"

namespace maestrale::models {

// `config`: a config.json. The tensors' data is of the right size and points nowhere.
Result<std::vector<TensorView>> preset_tensors(const json::object& config, std::string_view format);

}  // namespace maestrale::models
