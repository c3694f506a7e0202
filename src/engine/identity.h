// What the rows of a KV page follow from besides their tokens: the program, the model, the adapters. Where
// two digests are the same, the rows of the same tokens have the same bits; so whatever is kept for later
// stands under these.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "base/result.h"
#include "engine/digest.h"
#include "files/checkpoint.h"
#include "ops/kv_cache.h"
#include "ops/ops.h"

namespace maestrale::engine {

// Of this program's own file: another build may compute other bits. kIo where it cannot be read.
Result<Digest> program_identity();

// Of the files' bytes, the configuration, and tensors that come from no file. Files are read whole; what was
// found is noted in the folder `notes`, and believed as long as path, size and time are the same. kIo.
Result<Digest> checkpoint_identity(const files::Checkpoint& checkpoint, const std::filesystem::path& notes);

// Of all its numbers.
Digest adapter_identity(const files::Adapter& adapter);

// Of the choices, by the adapters' own digests and the bits of the scales; `adapters`: of all that there are.
std::string adapters_text(std::span<const ops::AdapterChoice> choices, std::span<const Digest> adapters);

// Of the sizes and the type that say how a page stands in memory.
std::string shape_text(const ops::KvShape& shape);

}  // namespace maestrale::engine
