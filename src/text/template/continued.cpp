#include "text/template/continued.h"

#include <fmt/core.h>

namespace maestrale::text {
namespace {

constexpr std::string_view kFlag = "continue_final_message";
// Goes behind the content and shows where the template has put its end.
constexpr std::string_view kMark = "CONTINUE_FINAL_MESSAGE_TAG";

// The text of a message: its content, or the last part that is text. Null where it has none.
json::string* text_of(json::value& message) {
  json::object* fields = message.if_object();
  json::value* content = fields == nullptr ? nullptr : fields->if_contains("content");
  if (content == nullptr) return nullptr;
  if (json::array* parts = content->if_array()) {
    for (auto part = parts->rbegin(); part != parts->rend(); ++part) {
      json::object* inner = part->if_object();
      json::value* text = inner == nullptr ? nullptr : inner->if_contains("text");
      if (text != nullptr) return text->if_string();
    }
  }
  return content->if_string();
}

}  // namespace

Result<std::string> render_conversation(const ChatTemplate& chat_template, const json::object& variables,
                                        const RenderClock& clock) {
  const json::value* flag = variables.if_contains(kFlag);
  if (flag == nullptr || *flag != true) return chat_template.render(variables, {}, clock);
  json::object marked = variables;
  marked.erase(kFlag);
  marked["add_generation_prompt"] = false;
  json::array* messages = marked["messages"].if_array();
  json::string* text = messages == nullptr || messages->empty() ? nullptr : text_of(messages->back());
  if (text == nullptr)
    return Error{.what = "the last message has no text to go on with", .where = "messages"};
  // The blank behind the mark goes where the template drops blanks at the end of a message.
  text->append(kMark);
  text->push_back(' ');
  std::string out = TRY(chat_template.render(marked, {}, clock));
  const std::size_t at = out.rfind(kMark);
  if (at == std::string::npos) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "the chat template does not write the last message out: it cannot be gone on with",
                 .where = fmt::format("messages[{}]", messages->size() - 1)};
  }
  const bool keeps_blanks = out.compare(at + kMark.size(), 1, " ") == 0;
  out.resize(at);
  if (!keeps_blanks) out.erase(out.find_last_not_of(" \t\r\n\v\f") + 1);
  return out;
}

}  // namespace maestrale::text
