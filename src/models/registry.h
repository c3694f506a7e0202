// The registry: which entry reads which checkpoint. Adding an architecture is one file and one line in
// registry.def.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "files/checkpoint.h"
#include "models/model.h"

namespace maestrale::models {

struct ModelEntry {
  std::string_view id;
  Result<LoadPlan> (*plan)(const files::Checkpoint& checkpoint, const ops::Ops& ops);
  Result<std::unique_ptr<Model>> (*load)(const files::Checkpoint& checkpoint, ops::Ops& ops,
                                         const Progress& progress);
};

// Architecture as the checkpoint names it: GGUF general.architecture, config.json architectures[0], "mistral"
// for Mistral folders, "llama2.c". Where one name covers several, with what tells them apart: "llama-moe".
Result<std::string> published_architecture(const files::Checkpoint& checkpoint);
Result<const ModelEntry*> find_entry(const files::Checkpoint& checkpoint);

}  // namespace maestrale::models
