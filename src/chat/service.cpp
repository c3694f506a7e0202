#include "chat/service.h"

#include <fmt/core.h>

#include <boost/json/serialize.hpp>
#include <random>

#include "chat/constraint.h"
#include "chat/fill_in.h"

namespace maestrale::chat {
namespace {

std::string spelling(const text::Tokenizer& tokenizer, std::optional<text::TokenId> token) {
  return token ? std::string(tokenizer.bytes(*token)) : std::string();
}

std::uint64_t new_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 20) ^ device();
}

Error bad_field(std::string field, std::string what, std::string expected = {}, std::string found = {}) {
  return Error{.kind = ErrorKind::kUsage,
               .what = std::move(what),
               .where = std::move(field),
               .expected = std::move(expected),
               .found = std::move(found)};
}

Result<engine::SamplingParams> resolve(const Sampling& said, const json::object& generation_config,
                                       std::int32_t vocabulary) {
  const JsonFields model(generation_config, "generation_config.json");
  engine::SamplingParams params;
  const bool greedy = model.has("do_sample") && !TRY(model.boolean_or("do_sample", true));
  const auto number = [&](const std::optional<double>& wish, const char* key,
                          double fallback) -> Result<double> {
    return wish ? Result<double>(*wish) : model.number_or(key, fallback);
  };
  params.temperature = TRY(number(said.temperature, "temperature", params.temperature));
  if (greedy && !said.temperature) params.temperature = 0;
  params.top_p = TRY(number(said.top_p, "top_p", params.top_p));
  params.min_p = TRY(number(said.min_p, "min_p", params.min_p));
  params.typical_p = TRY(number(said.typical_p, "typical_p", params.typical_p));
  params.repetition_penalty =
      TRY(number(said.repetition_penalty, "repetition_penalty", params.repetition_penalty));
  params.top_k = said.top_k ? *said.top_k : TRY(model.integer_or("top_k", params.top_k));
  params.presence_penalty = said.presence_penalty.value_or(params.presence_penalty);
  params.frequency_penalty = said.frequency_penalty.value_or(params.frequency_penalty);
  params.penalty_window = said.penalty_window.value_or(-1);
  params.logit_bias = said.logit_bias;
  for (const auto& [token, bias] : params.logit_bias) {
    if (token >= 0 && token < vocabulary) continue;
    return bad_field("logit_bias", "a token that the model does not have",
                     fmt::format("0 to {}", vocabulary - 1), std::to_string(token));
  }
  params.logprobs = std::max<std::int64_t>(said.logprobs, 0);
  params.seed = said.seed ? *said.seed : new_seed();
  TRY(params.validate());
  return params;
}

// What can be gone on with: text, at the end of the conversation.
Status check_unfinished(const ChatRequest& request) {
  using Kind = ToolChoice::Kind;
  const json::array& messages = request.messages;
  const std::string where = fmt::format("messages[{}]", messages.empty() ? 0 : messages.size() - 1);
  const json::value* role = messages.empty() ? nullptr : messages.back().as_object().if_contains("role");
  if (role == nullptr || *role != "assistant")
    return bad_field(where + ".role", "there is no answer to go on with", "an assistant message at the end");
  const json::object& last = messages.back().as_object();
  if (last.contains("tool_calls")) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "a message with tool calls cannot be gone on with",
                 .where = where + ".tool_calls"};
  }
  if (last.at("content").as_string().empty())
    return bad_field(where + ".content", "there is no text to go on with", "text");
  if (request.thinking == true) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "an answer that has begun cannot be thought about first",
                 .where = "thinking"};
  }
  const bool forced = request.tool_choice.kind == Kind::kRequired || request.tool_choice.kind == Kind::kNamed;
  if (!forced) return {};
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "an answer that has begun with text cannot be a call",
               .where = "tool_choice"};
}

// A conversation that calls a tool, for finding out what the template wants.
json::object probe(json::value arguments) {
  const json::object call{{"id", "abcdefghi"},
                          {"type", "function"},
                          {"function", {{"name", "probe"}, {"arguments", std::move(arguments)}}}};
  return {
      {"messages",
       json::array{json::object{{"role", "user"}, {"content", "q"}},
                   json::object{{"role", "assistant"}, {"content", ""}, {"tool_calls", json::array{call}}}}},
      {"tools", nullptr},
      {"documents", nullptr},
      {"bos_token", ""},
      {"eos_token", ""},
      {"add_generation_prompt", false}};
}

Status check_tokenizer(const files::Checkpoint& checkpoint) {
  if (checkpoint.tokenizer != nullptr) return {};
  return Error{.kind = ErrorKind::kNotFound,
               .what = "no usable tokenizer",
               .where = checkpoint.path.string(),
               .hint = checkpoint.tokenizer_problem};
}

Result<PromptFormat> format_of(const files::Checkpoint& checkpoint, const ChatServiceOptions& options) {
  const std::string where =
      options.template_source.empty() ? checkpoint.path.string() + ": chat template" : options.template_name;
  return PromptFormat::of(checkpoint, options.template_source, where);
}

Abilities abilities_with(const Dialect& dialect) {
  return {.chat = true,
          .calls = dialect.channels || !dialect.calls.empty(),
          .thinks = (dialect.channels || !dialect.reasoning.empty()) && dialect.name != "plain"};
}

}  // namespace

ChatService::ChatService(std::unique_ptr<engine::Service> service) : service_(std::move(service)) {
  tokenizer_ = service_->engine().tokenizer();
}

Result<std::unique_ptr<ChatService>> ChatService::create(std::unique_ptr<engine::Service> service,
                                                         const ChatServiceOptions& options) {
  TRY(check_tokenizer(service->engine().checkpoint()));
  std::unique_ptr<ChatService> chat(
      new ChatService(std::move(service)));  // NOLINT: the constructor is private
  chat->clock_ = options.clock;
  chat->grammars_ = std::make_unique<Grammars>(chat->tokenizer());
  auto format = format_of(chat->engine().checkpoint(), options);
  if (format.ok()) {
    chat->format_.emplace(std::move(format).value());
    chat->abilities_ = abilities_with(chat->format_->dialect());
    chat->plain_dialect_ = chat->format_->dialect();
    chat->plain_dialect_.calls.clear();
    chat->learn_template(options.template_source.empty() ? chat->engine().checkpoint().chat_template
                                                         : options.template_source);
  } else if (format.error().kind == ErrorKind::kNotFound) {
    chat->no_format_ = std::move(format).error();
  } else {
    return std::move(format).error();
  }
  return chat;
}

Result<Abilities> ChatService::abilities_of(const files::Checkpoint& checkpoint,
                                            const ChatServiceOptions& options) {
  TRY(check_tokenizer(checkpoint));
  const auto format = format_of(checkpoint, options);
  if (format.ok()) return abilities_with(format->dialect());
  // Without a chat template it still goes on with text.
  if (format.error().kind == ErrorKind::kNotFound) return Abilities{};
  return format.error();
}

void ChatService::learn_template(const std::string& source) {
  is_template_ = !source.empty();
  thinking_switch_ = source.find("enable_thinking") != std::string::npos;
  effort_switch_ = !is_template_ || source.find("reasoning_effort") != std::string::npos;
  if (!is_template_) return;
  const auto shown = [this](const json::value& arguments) {
    const auto prompt = format_->prompt(probe(arguments), clock_);
    return prompt.ok() && prompt->text.find("needle") != std::string::npos;
  };
  const json::object object{{"needle", 1}};
  arguments_as_text_ = !shown(object) && shown(json::value(json::serialize(object)));
}

Result<json::object> ChatService::variables_of(const ChatRequest& request) const {
  json::object variables = request.template_variables;
  variables["messages"] = request.messages;
  if (arguments_as_text_) {
    for (json::value& message : variables["messages"].as_array()) {
      json::value* calls = message.as_object().if_contains("tool_calls");
      if (calls == nullptr) continue;
      for (json::value& call : calls->as_array()) {
        json::value& arguments = call.as_object().at("function").as_object()["arguments"];
        arguments = json::value(json::serialize(arguments));
      }
    }
  }
  variables["tools"] = nullptr;
  if (!request.tools.empty() && request.tool_choice.kind != ToolChoice::Kind::kNone) {
    if (!abilities_.calls)
      return Error{.kind = ErrorKind::kUnsupported, .what = "this model cannot call tools", .where = "tools"};
    variables["tools"] = request.tools;
  }
  variables["documents"] = nullptr;
  variables["add_generation_prompt"] = !request.continue_final_message;
  if (request.continue_final_message) {
    TRY(check_unfinished(request));
    variables["continue_final_message"] = true;
  }
  variables["bos_token"] = spelling(*tokenizer_, tokenizer_->bos());
  const auto ends = tokenizer_->end_tokens();
  variables["eos_token"] = ends.empty() ? std::string() : std::string(tokenizer_->bytes(ends.front()));
  const bool asked = request.thinking.value_or(false) || !request.reasoning_effort.empty();
  if (asked && !abilities_.thinks && request.reasoning_effort != "none")
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "this model does not think before it answers",
                 .where = request.reasoning_effort.empty() ? "thinking" : "reasoning_effort"};
  if (thinking_switch_ && request.thinking) variables["enable_thinking"] = *request.thinking;
  if (thinking_switch_ && !request.reasoning_effort.empty())
    variables["enable_thinking"] = request.reasoning_effort != "none";
  if (request.reasoning_effort.empty() || request.reasoning_effort == "none") return variables;
  if (effort_switch_) {
    variables["reasoning_effort"] = request.reasoning_effort;
  } else if (!thinking_switch_) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "this model has no switch for how much it thinks",
                 .where = "reasoning_effort"};
  }
  return variables;
}

Result<text::Prompt> ChatService::prompt_of(const ChatRequest& request) const {
  if (!format_) {
    return Error{
        .kind = ErrorKind::kUnsupported,
        .what = no_format_->what,
        .where = "model",
        .hint = "continue plain text with a completions request, or start the server with --template"};
  }
  auto prompt = format_->prompt(TRY(variables_of(request)), clock_);
  if (prompt.ok()) return prompt;
  Error error = std::move(prompt).error();
  // What a template objects to is the conversation.
  if (text::is_template_refusal(error))
    error.expected = "a conversation that the model's chat template takes";
  if (error.kind == ErrorKind::kResource) error.kind = ErrorKind::kUsage;
  const std::size_t colon = error.where.find("messages[");
  error.where = colon == std::string::npos ? "messages" : error.where.substr(colon);
  return error;
}

Result<std::vector<text::TokenId>> ChatService::tokens_of(const TextRequest& request) const {
  if (const auto* tokens = std::get_if<std::vector<text::TokenId>>(&request.prompt)) {
    for (const text::TokenId token : *tokens) {
      if (token < 0 || token >= tokenizer_->size())
        return bad_field("prompt", "a token that the model does not have",
                         fmt::format("0 to {}", tokenizer_->size() - 1), std::to_string(token));
    }
    if (request.suffix) return bad_field("suffix", "a suffix needs a prompt that is text");
    return *tokens;
  }
  const std::string& prompt = std::get<std::string>(request.prompt);
  if (request.suffix) {
    auto filled = fill_in_prompt(*tokenizer_, prompt, *request.suffix);
    if (!filled.ok()) {
      filled.error().where = "suffix";
      return std::move(filled).error();
    }
    return std::move(filled->tokens);
  }
  return tokenizer_->encode(prompt, {.add_special = request.add_special, .parse_special = false});
}

Result<engine::ServiceRequest> ChatService::engine_request(const CommonRequest& common,
                                                           std::vector<text::TokenId> prompt) const {
  const auto length = static_cast<std::int64_t>(prompt.size());
  const std::int64_t context = engine().context();
  if (length > context) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = fmt::format("the prompt has {} tokens and the context holds {}", length, context),
                 .where = "messages",
                 .expected = fmt::format("at most {} tokens", context),
                 .found = fmt::format("{} tokens", length),
                 .hint = "shorten it"};
  }
  if (common.least_context > context) {
    return bad_field("num_ctx", "the context is smaller than that; start the server with a larger --context",
                     fmt::format("at most {}", context), std::to_string(common.least_context));
  }
  if (prompt.empty()) return bad_field("prompt", "the prompt is empty", "at least one token");
  if (common.admit) TRY(common.admit(length));
  engine::ServiceRequest request;
  request.generate.sampling =
      TRY(resolve(common.sampling, engine().checkpoint().generation_config, tokenizer_->size()));
  request.generate.prompt = std::move(prompt);
  request.generate.max_tokens = common.max_tokens;
  request.generate.stop_strings = common.stop;
  request.generate.ignore_end = common.ignore_end;
  if (common.adapter) {
    request.generate.adapters.emplace();
    request.generate.adapters->push_back({common.adapter->index, common.adapter->scale});
  }
  request.choices = common.choices;
  request.tenant = common.tenant;
  request.weight = common.weight;
  return request;
}

Result<std::unique_ptr<Answer>> ChatService::chat(const ChatRequest& asked_for) {
  ChatRequest request = asked_for;
  // A model whose template has no switch is kept from thinking by closing its thoughts at once.
  const bool no_thoughts = request.thinking == false || request.reasoning_effort == "none";
  if (no_thoughts && abilities_.thinks && !thinking_switch_) request.reasoning_budget = 0;
  const text::Prompt prompt = TRY(prompt_of(request));
  const bool calls = !request.tools.empty() && request.tool_choice.kind != ToolChoice::Kind::kNone;
  const Dialect* dialect = calls ? &format_->dialect() : &plain_dialect_;
  ConstraintPlan plan{.tokenizer = tokenizer_,
                      .dialect = dialect,
                      .grammars = grammars_.get(),
                      .start = start_of_prompt(*dialect, prompt.text)};
  if (request.continue_final_message) {
    const json::string& begun = request.messages.back().at("content").as_string();
    plan.start = start_inside(*dialect, begun);
    if (plan.start == TurnStart::kText) plan.begun = text_begun(*dialect, begun);
  }
  engine::ServiceRequest asked = TRY(engine_request(request.common, prompt.tokens));
  asked.generate.continues_text = request.continue_final_message;
  asked.constraint = TRY(chat_constraint(plan, request));
  const bool notes = request.common.sampling.logprobs >= 0;
  const auto length = static_cast<std::int64_t>(asked.generate.prompt.size());
  AnswerOptions options{.tokenizer = tokenizer_,
                        .dialect = dialect,
                        .start = plan.start,
                        .reads_calls = calls,
                        .parallel_calls = request.parallel_calls,
                        .notes = notes,
                        .choices = request.common.choices,
                        .prompt_tokens = length,
                        .stop = request.common.stop};
  if (request.continue_final_message) options.before = asked.generate.prompt.back();
  return std::make_unique<Answer>(TRY(service_->submit(std::move(asked))), std::move(options));
}

Result<std::unique_ptr<Answer>> ChatService::complete(const TextRequest& request) {
  auto made = engine_request(request.common, TRY(tokens_of(request)));
  if (!made.ok() && made.error().where == "messages") made.error().where = "prompt";
  engine::ServiceRequest asked = TRY(std::move(made));
  asked.generate.continues_text = true;
  asked.constraint =
      TRY(text_constraint({.tokenizer = tokenizer_, .grammars = grammars_.get()}, request.common.shape));
  const auto length = static_cast<std::int64_t>(asked.generate.prompt.size());
  AnswerOptions options{.tokenizer = tokenizer_,
                        .notes = request.common.sampling.logprobs >= 0,
                        .before = asked.generate.prompt.back(),
                        .choices = request.common.choices,
                        .prompt_tokens = length,
                        .stop = request.common.stop};
  return std::make_unique<Answer>(TRY(service_->submit(std::move(asked))), std::move(options));
}

}  // namespace maestrale::chat
