#include "app/lines.h"

#include <fmt/core.h>

#include "app/session.h"
#include "base/utf8.h"

namespace maestrale::app {

Result<std::vector<std::string>> read_lines() {
  const std::string all = TRY(read_stdin(kMaxInputBytes));
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = std::min(all.find('\n', begin), all.size());
    std::string line = all.substr(begin, end - begin);
    if (line.ends_with('\r')) line.pop_back();
    if (find_invalid_utf8(line) != std::string_view::npos) {
      return Error{.what = "text is not valid UTF-8",
                   .where = fmt::format("standard input, line {}", lines.size() + 1)};
    }
    lines.push_back(std::move(line));
    begin = end + 1;
  }
  if (!lines.empty()) return lines;
  return Error{
      .kind = ErrorKind::kUsage, .what = "no text", .where = "standard input", .expected = "one text a line"};
}

}  // namespace maestrale::app
