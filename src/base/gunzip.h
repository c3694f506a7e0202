// gzip decompression (RFC 1951, RFC 1952), for test data and vocabularies that are published compressed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace maestrale {

// The contents of a gzip file (one member or several). `where` names it in errors. Refuses what is damaged or
// cut off (the CRC is checked), and what would grow beyond max_bytes (kResource).
Result<std::string> gunzip(std::string_view bytes, const std::string& where, std::uint64_t max_bytes);

}  // namespace maestrale
