// Calls written as JSON: Mistral, Hermes and Qwen, Llama 3.
#include <algorithm>

#include "base/json.h"
#include "chat/call_reader.h"
#include "chat/json_scan.h"
#include "text/template/python_json.h"

namespace maestrale::chat {
namespace {

constexpr std::size_t kNowhere = std::string_view::npos;
constexpr std::string_view kBlanks = " \t\r\n";

std::size_t skip_blanks(std::string_view text, std::size_t at) {
  return std::min(text.find_first_not_of(kBlanks, at), text.size());
}

// Whether more text could make `text` begin with `mark`.
bool may_become(std::string_view text, std::string_view mark) {
  return text.size() < mark.size() && mark.starts_with(text);
}

class MistralReader final : public CallReader {
 public:
  Verdict read(std::string_view bytes, bool at_end) override {
    const std::size_t begin = skip_blanks(bytes, kMark.size());
    if (begin == bytes.size()) return at_end ? Verdict::text(bytes.size()) : Verdict::more();
    if (bytes[begin] == '[' || bytes[begin] == '{') return read_list(bytes, begin, at_end);
    const std::size_t args = bytes.find(kArgs, begin);
    const std::size_t next = bytes.substr(0, args).find(kMark, begin);
    if (next != kNowhere) return Verdict::text(next);
    if (args == kNowhere) return at_end ? Verdict::text(bytes.size()) : Verdict::more();
    return read_arguments(bytes, bytes.substr(begin, args - begin), args + kArgs.size(), at_end);
  }

 private:
  static constexpr std::string_view kMark = "[TOOL_CALLS]", kArgs = "[ARGS]", kCallId = "[CALL_ID]";

  Verdict read_list(std::string_view bytes, std::size_t begin, bool at_end) {
    const std::size_t length = scanner_.end(bytes.substr(begin));
    if (length == kNowhere) return at_end ? Verdict::text(bytes.size()) : Verdict::more();
    std::vector<Call> calls = calls_from_json(bytes.substr(begin, length));
    return calls.empty() ? Verdict::text(begin + length) : Verdict::done(begin + length, std::move(calls));
  }

  Verdict read_arguments(std::string_view bytes, std::string_view head, std::size_t at, bool at_end) {
    const std::size_t begin = skip_blanks(bytes, at);
    if (begin == bytes.size()) return at_end ? Verdict::text(bytes.size()) : Verdict::more();
    const std::size_t id = head.find(kCallId);
    Call call{.name = std::string(trim(head.substr(0, id)))};
    if (id != kNowhere) call.id = trim(head.substr(id + kCallId.size()));
    if (bytes[begin] != '{' || call.name.empty() || call.name.find_first_of(kBlanks) != kNowhere) {
      const std::size_t next = bytes.find(kMark, begin);
      if (next != kNowhere) return Verdict::text(next);
      return at_end ? Verdict::text(bytes.size()) : Verdict::more();
    }
    const std::size_t length = scanner_.end(bytes.substr(begin));
    if (length == kNowhere) return at_end ? Verdict::text(bytes.size()) : Verdict::more();
    call.arguments = bytes.substr(begin, length);
    if (!is_json_object(call.arguments)) return Verdict::text(begin + length);
    return Verdict::done(begin + length, {std::move(call)});
  }

  JsonScanner scanner_;
};

// A parameter's value in Qwen3-Coder's XML: JSON where it is a number, a truth value, a list or an object.
std::string xml_value(std::string_view text) {
  if (text.starts_with('\n')) text.remove_prefix(1);
  if (text.ends_with('\n')) text.remove_suffix(1);
  const auto parsed = parse_json(text, "value");
  if (parsed.ok() && !parsed->is_string()) return std::string(trim(text));
  return text::python_json_string(text);
}

// <function=NAME> <parameter=KEY>VALUE</parameter>… </function>
std::optional<Call> call_from_xml(std::string_view text) {
  constexpr std::string_view kFunction = "<function=", kParameter = "<parameter=", kClose = "</parameter>";
  const std::size_t name_end = text.find('>');
  if (!text.starts_with(kFunction) || name_end == kNowhere || name_end == kFunction.size())
    return std::nullopt;
  Call call{.name = std::string(text.substr(kFunction.size(), name_end - kFunction.size())),
            .arguments = "{"};
  for (std::size_t at = text.find(kParameter); at != kNowhere; at = text.find(kParameter, at)) {
    const std::size_t key = at + kParameter.size();
    const std::size_t key_end = text.find('>', key);
    const std::size_t value_end = text.find(kClose, key);
    if (key_end == kNowhere || value_end == kNowhere || value_end < key_end) return std::nullopt;
    if (call.arguments.size() > 1) call.arguments += ", ";
    call.arguments += text::python_json_string(text.substr(key, key_end - key)) + ": " +
                      xml_value(text.substr(key_end + 1, value_end - key_end - 1));
    at = value_end;
  }
  call.arguments += "}";
  return call;
}

class HermesReader final : public CallReader {
 public:
  Verdict read(std::string_view bytes, bool at_end) override {
    const std::size_t begin = skip_blanks(bytes, kOpen.size());
    if (begin == bytes.size()) return at_end ? Verdict::text(bytes.size()) : Verdict::more();
    if (bytes[begin] == '{') return read_json(bytes, begin, at_end);
    const std::size_t close = bytes.find(kClose, begin);
    if (close == kNowhere && !at_end) return Verdict::more();
    const std::size_t end = close == kNowhere ? bytes.size() : close + kClose.size();
    auto call = call_from_xml(bytes.substr(begin, std::min(close, bytes.size()) - begin));
    return call ? Verdict::done(end, {std::move(*call)}) : Verdict::text(end);
  }

 private:
  static constexpr std::string_view kOpen = "<tool_call>", kClose = "</tool_call>";

  Verdict read_json(std::string_view bytes, std::size_t begin, bool at_end) {
    if (json_end_ == kNowhere) json_end_ = scanner_.end(bytes.substr(begin));
    if (json_end_ == kNowhere) return at_end ? Verdict::text(bytes.size()) : Verdict::more();
    std::size_t end = begin + json_end_;
    const std::size_t after = skip_blanks(bytes, end);
    const std::string_view rest = bytes.substr(after);
    if (may_become(rest, kClose) && !at_end) return Verdict::more();
    if (rest.starts_with(kClose)) end = after + kClose.size();
    auto call = call_from_json(bytes.substr(begin, json_end_));
    return call ? Verdict::done(end, {std::move(*call)}) : Verdict::text(end);
  }

  JsonScanner scanner_;
  std::size_t json_end_ = kNowhere;
};

class JsonReader final : public CallReader {
 public:
  Verdict read(std::string_view bytes, bool at_end) override {
    if (!begins_like_a_call(bytes)) return Verdict::text(1);
    if (json_end_ == kNowhere) json_end_ = scanner_.end(bytes);
    if (json_end_ == kNowhere) return at_end ? Verdict::text(bytes.size()) : Verdict::more();
    auto call = call_from_json(bytes.substr(0, json_end_));
    if (!call) return Verdict::text(json_end_);
    const std::size_t after = skip_blanks(bytes, json_end_);
    if (after == bytes.size() && !at_end) return Verdict::more();
    const bool another = after < bytes.size() && bytes[after] == ';';
    return Verdict::done(another ? after + 1 : json_end_, {std::move(*call)});
  }

 private:
  // False as soon as the first key is none that a call begins with.
  static bool begins_like_a_call(std::string_view bytes) {
    const std::string_view key = bytes.substr(skip_blanks(bytes, 1));
    for (const std::string_view known :
         {"\"name\"", "\"type\"", "\"function\"", "\"parameters\"", "\"id\""}) {
      if (key.starts_with(known) || may_become(key, known)) return true;
    }
    return false;
  }

  JsonScanner scanner_;
  std::size_t json_end_ = kNowhere;
};

class PythonTagReader final : public CallReader {
 public:
  Verdict read(std::string_view bytes, bool at_end) override {
    if (!at_end) return Verdict::more();
    const std::string_view body = trim(bytes.substr(kMark.size()));
    std::vector<Call> calls = body.starts_with('{') ? calls_from_json(body) : calls_from_python(body);
    for (Call& call : calls) {
      if (call.name.ends_with(".call")) call.name.resize(call.name.size() - 5);  // brave_search.call(…)
    }
    return calls.empty() ? Verdict::text(bytes.size()) : Verdict::done(bytes.size(), std::move(calls));
  }

 private:
  static constexpr std::string_view kMark = "<|python_tag|>";
};

}  // namespace

std::optional<Call> call_from_json(std::string_view object) {
  const auto members = json_members(object);
  if (!members) return std::nullopt;
  Call call;
  bool has_arguments = false;
  for (const auto& [key, value] : *members) {
    if (key == "name") call.name = json_string(value).value_or("");
    if (key == "id") call.id = json_string(value).value_or("");
    if (key == "function" && value.starts_with('{')) {
      auto inner = call_from_json(value);
      if (inner && inner->id.empty()) inner->id = call.id;
      return inner;
    }
    if (key != "arguments" && key != "parameters") continue;
    call.arguments = json_string(value).value_or(std::string(value));
    has_arguments = is_json_object(call.arguments);
  }
  if (call.name.empty() || !has_arguments) return std::nullopt;
  return call;
}

std::vector<Call> calls_from_json(std::string_view text) {
  std::vector<Call> calls;
  const auto items = text.starts_with('{') ? std::optional(std::vector{text}) : json_items(text);
  if (!items) return {};
  for (const std::string_view item : *items) {
    auto call = call_from_json(item);
    if (!call) return {};
    calls.push_back(std::move(*call));
  }
  return calls;
}

std::unique_ptr<CallReader> read_mistral_calls() { return std::make_unique<MistralReader>(); }
std::unique_ptr<CallReader> read_hermes_call() { return std::make_unique<HermesReader>(); }
std::unique_ptr<CallReader> read_json_call() { return std::make_unique<JsonReader>(); }
std::unique_ptr<CallReader> read_python_tag() { return std::make_unique<PythonTagReader>(); }

}  // namespace maestrale::chat
