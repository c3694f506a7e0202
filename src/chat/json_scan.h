// JSON inside generated text: where it ends, and what its members are, byte for byte as written.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace maestrale::chat {

// Finds the end of one object or array in text that grows at its end.
class JsonScanner {
 public:
  // `text` must begin with '{' or '[' and hold what was passed before; npos: not there yet.
  std::size_t end(std::string_view text);

 private:
  std::size_t at_ = 0;
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false;
};

std::string_view trim(std::string_view text);
bool is_json_object(std::string_view text);

using Members = std::vector<std::pair<std::string, std::string_view>>;
// Keys and raw values of a JSON object, nothing where the text is none.
std::optional<Members> json_members(std::string_view object);
std::optional<std::vector<std::string_view>> json_items(std::string_view array);
// The text of a JSON string, nothing where it is none.
std::optional<std::string> json_string(std::string_view text);

}  // namespace maestrale::chat
