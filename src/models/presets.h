// Presets: true shapes of published models, filled with synthetic weights, so that a person can learn how fast a
// model would run, or what it needs, before downloading it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "files/checkpoint.h"
#include "tensor/dtype.h"

namespace maestrale::models {

std::vector<std::string> preset_names();
// A checkpoint (no tokenizer) whose tensors have the preset's shapes in `format` ("q4_0", "q4_k_m", "f16", …).
// Tensors share one buffer, so it costs no more memory than the largest tensor. `with_data` false: shapes only,
// for inspection; the tensors' data must not be read then.
Result<files::Checkpoint> preset_checkpoint(std::string_view name, std::string_view format, bool with_data = true);

}  // namespace maestrale::models
