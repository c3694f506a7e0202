#include "app/chat_session.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "app/parse.h"
#include "app/render.h"
#include "base/file.h"

namespace maestrale::app {
namespace {

constexpr std::string_view kHelp =
    "/help                show this\n"
    "/clear               forget the conversation, keep the system message\n"
    "/system [TEXT]       set the system message; without TEXT remove it\n"
    "/undo                take back the last question and its answer\n"
    "/retry               answer the last question again, with another seed\n"
    "/set NAME VALUE      temperature, top_k, top_p, min_p, typical_p, repetition_penalty, "
    "presence_penalty,\n"
    "                     frequency_penalty, penalty_window, max_tokens or seed\n"
    "/show                the conversation so far\n"
    "/save FILE           write the conversation as JSON\n"
    "/load FILE           go on with a saved conversation\n"
    "/quit                leave (also Ctrl-D)\n"
    "Ctrl-C stops an answer. A line that ends with \\ goes on in the next one. A message that begins with a "
    "slash\n"
    "can be sent with a space before it.";

constexpr std::uint64_t kMaxConversationBytes = std::uint64_t{1} << 28;

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

Error usage(std::string what, std::string expected) {
  return Error{.kind = ErrorKind::kUsage, .what = std::move(what), .expected = std::move(expected)};
}

// The answer as the next prompt will hold it: without the thoughts, which models do without later on.
std::string remembered(const ShownGeneration& shown) {
  const chat::Turn& turn = shown.turn;
  return turn.text.empty() || !turn.calls.empty() ? shown.generation.text : turn.text;
}

}  // namespace

std::pair<std::string, std::string> split_command(std::string_view line) {
  const std::string_view trimmed = trim(line).substr(1);
  const auto space = trimmed.find_first_of(" \t");
  if (space == std::string_view::npos) return {std::string(trimmed), ""};
  return {std::string(trimmed.substr(0, space)), std::string(trim(trimmed.substr(space)))};
}

Status set_sampling(std::string_view name, std::string_view value, SamplingOptions& sampling,
                    CommonOptions& common) {
  struct Number {
    std::string_view name;
    std::optional<double>* target;
    double low, high;
  };
  const Number numbers[] = {{"temperature", &sampling.temperature, 0, 100},
                            {"top_p", &sampling.top_p, 0, 1},
                            {"min_p", &sampling.min_p, 0, 1},
                            {"typical_p", &sampling.typical_p, 0, 1},
                            {"repetition_penalty", &sampling.repetition_penalty, 0, 100},
                            {"presence_penalty", &sampling.presence_penalty, -100, 100},
                            {"frequency_penalty", &sampling.frequency_penalty, -100, 100}};
  constexpr std::int64_t kMany = (std::int64_t{1} << 31) - 1;
  const std::string where(name);
  const auto number =
      std::find_if(std::begin(numbers), std::end(numbers), [&](const Number& n) { return n.name == name; });
  if (number != std::end(numbers)) {
    const std::optional<double> before = *number->target;
    *number->target = TRY(parse_number(value, number->low, number->high, where));
    const auto checked = resolve_sampling(sampling, common, {});
    if (checked.ok()) return {};
    *number->target = before;
    return checked.error();
  }
  if (name == "top_k") {
    sampling.top_k = TRY(parse_integer(value, 0, kMany, where));
  } else if (name == "penalty_window") {
    sampling.penalty_window = TRY(parse_integer(value, -1, kMany, where));
  } else if (name == "max_tokens") {
    sampling.max_tokens = TRY(parse_integer(value, 0, kMany, where));
  } else if (name == "seed") {
    common.seed = TRY(parse_seed(value, where));
    common.seed_given = true;
  } else {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "unknown setting",
                 .where = "/set",
                 .found = where,
                 .hint = "see /help"};
  }
  return {};
}

Result<ChatSession> ChatSession::create(engine::Engine& engine, const SamplingOptions& sampling,
                                        const CommonOptions& common, const std::string& template_file) {
  Conversation conversation = TRY(Conversation::create(engine.checkpoint(), template_file));
  ChatSession session(engine, sampling, common, std::move(conversation));
  session.sequence_ = engine.open_sequence();
  return session;
}

Status ChatSession::say(const std::string& text) {
  const std::size_t before = conversation_.messages().size();
  conversation_.add("user", text);
  Status status = answer();
  if (!status.ok()) conversation_.shrink(before);
  return status;
}

Status ChatSession::answer() {
  const text::Prompt prompt = TRY(conversation_.prompt());
  const auto request = TRY(make_request(prompt.tokens, sampling_, common_, *engine_));
  const auto common_prefix =
      std::mismatch(cached_.begin(), cached_.end(), request.prompt.begin(), request.prompt.end());
  const std::int64_t same = std::min<std::int64_t>(common_prefix.first - cached_.begin(),
                                                   static_cast<std::int64_t>(request.prompt.size()) - 1);
  const std::int64_t cached = engine_->truncate(sequence_, std::max<std::int64_t>(same, 0));
  cached_.resize(static_cast<std::size_t>(cached));
  chat::TurnReader turn(conversation_.dialect(), *engine_->tokenizer(),
                        chat::start_of_prompt(conversation_.dialect(), prompt.text));
  const StreamOptions streaming{
      .keep_events = sampling_.logprobs >= 0, .sequence = sequence_, .cached = cached, .turn = &turn};
  const auto shown = TRY(stream_generation(*engine_, request, common_, streaming));
  const engine::Generation& generation = shown.generation;
  cached_ = request.prompt;
  // The last token was drawn but perhaps not yet computed.
  if (!generation.tokens.empty()) {
    cached_.insert(cached_.end(), generation.tokens.begin(), generation.tokens.end() - 1);
  }
  conversation_.add("assistant", remembered(shown));
  Status finished = finish_generation(*engine_, request, shown, common_);
  if (!finished.ok() && generation.reason == engine::FinishReason::kCancelled) return {};
  return finished;
}

Result<bool> ChatSession::command(const std::string& line) {
  const auto [name, argument] = split_command(line);
  if (name == "quit" || name == "exit" || name == "q") return false;
  if (name == "help" || name == "?") {
    write_note(kHelp);
  } else if (name == "clear") {
    conversation_.clear();
  } else if (name == "system") {
    conversation_.set_system(argument);
  } else if (name == "undo") {
    if (!conversation_.undo()) return usage("nothing to take back", "a question before /undo");
  } else if (name == "retry") {
    const std::string question = TRY(retry());
    TRY(say(question));
  } else if (name == "set") {
    TRY(set(argument));
  } else if (name == "show") {
    show();
  } else if (name == "save") {
    TRY(save(argument));
  } else if (name == "load") {
    TRY(load(argument));
  } else {
    return Error{
        .kind = ErrorKind::kUsage, .what = "unknown command", .found = "/" + name, .hint = "see /help"};
  }
  return true;
}

Result<std::string> ChatSession::retry() {
  const json::array& messages = conversation_.messages();
  for (std::size_t i = messages.size(); i-- > 0;) {
    const json::value* content = messages[i].get_object().if_contains("content");
    if (messages[i].at("role") != "user" || content == nullptr || !content->is_string()) continue;
    std::string question(content->get_string());
    conversation_.undo();
    if (common_.seed_given) ++common_.seed;
    return question;
  }
  return usage("nothing to answer again", "a question before /retry");
}

Status ChatSession::set(std::string_view argument) {
  const auto space = argument.find_first_of(" \t=");
  if (space == std::string_view::npos)
    return usage("/set takes a name and a value", "such as /set temperature 0.7");
  return set_sampling(argument.substr(0, space), trim(argument.substr(space + 1)), sampling_, common_);
}

Status ChatSession::save(const std::string& path) const {
  if (path.empty()) return usage("/save takes a file", "such as /save talk.json");
  return write_file(path, json::serialize(json::object{{"messages", conversation_.messages()}}) + "\n");
}

Status ChatSession::load(const std::string& path) {
  if (path.empty()) return usage("/load takes a file", "such as /load talk.json");
  return conversation_.replace(TRY(parse_json(TRY(read_file(path, kMaxConversationBytes)), path)), path);
}

void ChatSession::show() const {
  for (const json::value& message : conversation_.messages()) {
    const json::value* content = message.get_object().if_contains("content");
    const std::string text = content != nullptr && content->is_string() ? std::string(content->get_string())
                             : content == nullptr                       ? ""
                                                                        : json::serialize(*content);
    write_note(fmt::format("{}: {}", std::string(message.at("role").get_string()), text));
  }
}

}  // namespace maestrale::app
