// Calls between marks of their own: DeepSeek V3, R1, V3.1 and V3.2, Gemma 4 and FunctionGemma.
#include <algorithm>

#include "base/json.h"
#include "chat/call_reader.h"
#include "chat/json_scan.h"
#include "text/template/python_json.h"

namespace maestrale::chat {
namespace {

constexpr std::size_t kNowhere = std::string_view::npos;
constexpr int kDepthMax = 64;

// V3 and R1: function<｜tool▁sep｜>NAME\n```json\n{…}\n```; V3.1: NAME<｜tool▁sep｜>{…}
std::optional<Call> deepseek_call(std::string_view text) {
  constexpr std::string_view kSeparator = "<｜tool▁sep｜>", kFence = "```json";
  const std::size_t separator = text.find(kSeparator);
  if (separator == kNowhere) return std::nullopt;
  std::string_view name = trim(text.substr(0, separator));
  std::string_view arguments = trim(text.substr(separator + kSeparator.size()));
  const std::size_t fence = arguments.find(kFence);
  if (fence != kNowhere && !arguments.starts_with('{')) {
    name = trim(arguments.substr(0, fence));
    arguments.remove_prefix(fence + kFence.size());
    arguments = trim(arguments.substr(0, arguments.rfind("```")));
  }
  if (name.empty() || !is_json_object(arguments)) return std::nullopt;
  return Call{.name = std::string(name), .arguments = std::string(arguments)};
}

class DeepSeekReader final : public CallReader {
 public:
  Verdict read(std::string_view bytes, bool at_end) override {
    const std::size_t close = bytes.find(kClose, searched_);
    searched_ = bytes.size() - std::min(bytes.size(), kClose.size() - 1);
    if (close == kNowhere && !at_end) return Verdict::more();
    const std::size_t end = close == kNowhere ? bytes.size() : close + kClose.size();
    auto call = deepseek_call(bytes.substr(kOpen.size(), std::min(close, bytes.size()) - kOpen.size()));
    return call ? Verdict::done(end, {std::move(*call)}) : Verdict::text(end);
  }

 private:
  static constexpr std::string_view kOpen = "<｜tool▁call▁begin｜>", kClose = "<｜tool▁call▁end｜>";
  std::size_t searched_ = kOpen.size();
};

// The value of NAME="…" in a tag, nothing where it has none.
std::optional<std::string_view> attribute(std::string_view tag, std::string_view name) {
  const std::string opening = " " + std::string(name) + "=\"";
  const std::size_t at = tag.find(opening);
  if (at == kNowhere) return std::nullopt;
  const std::string_view rest = tag.substr(at + opening.size());
  const std::size_t end = rest.find('"');
  return end == kNowhere ? std::nullopt : std::optional(rest.substr(0, end));
}

// V3.2's markup: a string as it is, anything else as JSON.
class DsmlReader final : public CallReader {
 public:
  Verdict read(std::string_view bytes, bool at_end) override {
    const std::size_t close = bytes.find(kClose, searched_);
    searched_ = std::max(kOpen.size(), bytes.size() - std::min(bytes.size(), kClose.size() - 1));
    if (close == kNowhere) return at_end ? Verdict::text(bytes.size()) : Verdict::more();
    const std::size_t end = close + kClose.size();
    auto call = call_of(bytes.substr(0, close));
    return call ? Verdict::done(end, {std::move(*call)}) : Verdict::text(end);
  }

  static constexpr std::string_view kOpen = "<｜DSML｜invoke", kClose = "</｜DSML｜invoke>";

 private:
  static constexpr std::string_view kParameter = "<｜DSML｜parameter", kParameterEnd = "</｜DSML｜parameter>";

  static std::optional<Call> call_of(std::string_view text) {
    const std::size_t tag_end = text.find('>');
    const auto name = attribute(text.substr(0, std::min(tag_end, text.size())), "name");
    if (tag_end == kNowhere || !name || name->empty()) return std::nullopt;
    std::string arguments;
    for (std::string_view rest = trim(text.substr(tag_end + 1)); !rest.empty(); rest = trim(rest)) {
      const std::size_t close = rest.find(kParameterEnd);
      if (!rest.starts_with(kParameter) || close == kNowhere) return std::nullopt;
      const auto member = member_of(rest.substr(0, close));
      if (!member) return std::nullopt;
      arguments += (arguments.empty() ? "" : ", ") + *member;
      rest.remove_prefix(close + kParameterEnd.size());
    }
    return Call{.name = std::string(*name), .arguments = "{" + arguments + "}"};
  }

  // <｜DSML｜parameter name="a" string="true">value -> "a": "value".
  static std::optional<std::string> member_of(std::string_view text) {
    const std::size_t tag_end = text.find('>');
    if (tag_end == kNowhere) return std::nullopt;
    const auto name = attribute(text.substr(0, tag_end), "name");
    const auto is_string = attribute(text.substr(0, tag_end), "string");
    std::string_view value = text.substr(tag_end + 1);
    if (!name || !is_string || (*is_string != "true" && *is_string != "false")) return std::nullopt;
    const std::string key = text::python_json_string(*name) + ": ";
    if (*is_string == "true") return key + text::python_json_string(value);
    value = trim(value);
    if (!parse_json(value, "parameter").ok()) return std::nullopt;
    return key + std::string(value);
  }

  std::size_t searched_ = kOpen.size();
};

// {key:value,…} with bare keys and strings between marks; written as JSON.
class GemmaArguments {
 public:
  GemmaArguments(std::string_view text, std::string_view quote) : rest_(text), quote_(quote) {}

  std::optional<std::string> run() {
    std::string out;
    if (!value(out, 0) || !trim(rest_).empty()) return std::nullopt;
    return out;
  }

 private:
  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }
  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  bool value(std::string& out, int depth) {
    skip_blanks();
    if (rest_.empty() || depth > kDepthMax) return false;
    if (take("{")) return items(out, '}', depth);
    if (take("[")) return items(out, ']', depth);
    if (take(quote_)) {
      const std::size_t end = rest_.find(quote_);
      if (end == kNowhere) return false;
      out += text::python_json_string(rest_.substr(0, end));
      rest_.remove_prefix(end + quote_.size());
      return true;
    }
    const std::size_t end = std::min(rest_.find_first_of(",}]"), rest_.size());
    const std::string_view word = trim(rest_.substr(0, end));
    rest_.remove_prefix(end);
    if (!parse_json(word, "value").ok()) return false;
    out += word;
    return true;
  }

  bool items(std::string& out, char close, int depth) {
    out += close == '}' ? '{' : '[';
    skip_blanks();
    const std::string_view end(&close, 1);
    for (bool first = true; !take(end); first = false) {
      if (!first && !take(",")) return false;
      if (!first) out += ", ";
      if (close == '}' && !key(out)) return false;
      if (!value(out, depth + 1)) return false;
      skip_blanks();
    }
    out += close;
    return true;
  }

  bool key(std::string& out) {
    skip_blanks();
    const bool quoted = take(quote_);
    const std::size_t end = rest_.find(quoted ? quote_ : std::string_view(":"));
    if (end == kNowhere) return false;
    out += text::python_json_string(trim(rest_.substr(0, end))) + ": ";
    rest_.remove_prefix(end + (quoted ? quote_.size() : 0));
    return take(":");
  }

  std::string_view rest_, quote_;
};

// OPENcall:NAME{…}CLOSE
class GemmaReader final : public CallReader {
 public:
  GemmaReader(std::string_view open, std::string_view close, std::string_view quote)
      : open_(open), close_(close), quote_(quote), searched_(open.size()) {}

  Verdict read(std::string_view bytes, bool at_end) override {
    std::size_t close = find_close(bytes);
    if (close == kNowhere && !at_end) return Verdict::more();
    if (close == kNowhere) close = bytes.find(close_, open_.size());  // a string that never ended
    const std::size_t end = close == kNowhere ? bytes.size() : close + close_.size();
    const std::string_view body =
        trim(bytes.substr(open_.size(), std::min(close, bytes.size()) - open_.size()));
    const std::size_t brace = body.find('{');
    if (!body.starts_with(kCall) || brace == kNowhere) return Verdict::text(end);
    const std::string_view name = trim(body.substr(kCall.size(), brace - kCall.size()));
    auto arguments = GemmaArguments(body.substr(brace), quote_).run();
    if (name.empty() || !arguments) return Verdict::text(end);
    return Verdict::done(end, {Call{.name = std::string(name), .arguments = std::move(*arguments)}});
  }

 private:
  // The closing mark, but not in a string.
  std::size_t find_close(std::string_view bytes) {
    while (true) {
      const std::size_t quote = bytes.find(quote_, searched_);
      const std::size_t close = quoted_ ? kNowhere : bytes.find(close_, searched_);
      if (close < quote) return close;
      if (quote == kNowhere) {
        const std::size_t held = std::max(close_.size(), quote_.size()) - 1;
        searched_ = std::max(searched_, bytes.size() - std::min(bytes.size(), held));
        return kNowhere;
      }
      quoted_ = !quoted_;
      searched_ = quote + quote_.size();
    }
  }

  static constexpr std::string_view kCall = "call:";
  std::string_view open_, close_, quote_;
  std::size_t searched_;  // no mark begins before this byte
  bool quoted_ = false;
};

}  // namespace

std::unique_ptr<CallReader> read_deepseek_call() { return std::make_unique<DeepSeekReader>(); }
std::unique_ptr<CallReader> read_dsml_call() { return std::make_unique<DsmlReader>(); }
std::unique_ptr<CallReader> read_gemma_call() {
  return std::make_unique<GemmaReader>("<|tool_call>", "<tool_call|>", "<|\"|>");
}
std::unique_ptr<CallReader> read_function_gemma() {
  return std::make_unique<GemmaReader>("<start_function_call>", "<end_function_call>", "<escape>");
}

}  // namespace maestrale::chat
