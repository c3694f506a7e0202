// What a request's parsed head must satisfy before its body is read.
#pragma once

#include <cstddef>
#include <string>

#include "net/http.h"

namespace maestrale::net {

struct HeadVerdict {
  int status = 0;  // 0: go on; else refuse with it
  std::string message = {};
  bool expects_continue = false;
};

// `version`: 10 or 11. One Host (1.1), no transfer coding but chunked, no content coding, no other
// expectation, not too many fields.
HeadVerdict check_head(const Request& head, int version, std::size_t most_fields);

}  // namespace maestrale::net
