// Texts from standard input, one a line.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace maestrale::app {

// Without line ends (LF or CR LF); kUsage where there is none, an error where one is not UTF-8.
Result<std::vector<std::string>> read_lines();

}  // namespace maestrale::app
