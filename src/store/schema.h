// The schema of the store: its tables, by version.
#pragma once

#include "store/database.h"

namespace maestrale::store {

// Times are seconds since 1970, UTC, unless their name says otherwise.
Migrations schema();

// Opens a store with this schema.
Result<std::unique_ptr<Database>> open_store(const std::filesystem::path& path,
                                             const DatabaseOptions& options = {});

}  // namespace maestrale::store
