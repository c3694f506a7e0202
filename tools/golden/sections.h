// The sections of a golden folder. Each runs every case below `folder` and reports; an Error means that the
// golden data itself could not be read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "report.h"

namespace maestrale::golden {

struct Places {
  std::filesystem::path data;     // holds tokenizers/ and chat_templates/; may be empty
  std::vector<std::string> isas;  // instruction sets to run; empty: all that this machine can
};

Status run_quants(const std::filesystem::path& folder, const Places& places, Report& report);
Status run_tokenizers(const std::filesystem::path& folder, const Places& places, Report& report);
Status run_templates(const std::filesystem::path& folder, const Places& places, Report& report);
Status run_arch(const std::filesystem::path& folder, const Places& places, Report& report);

}  // namespace maestrale::golden
