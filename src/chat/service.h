// ChatService: a loaded model that answers typed requests. It turns conversations into prompts, hands them to
// the engine and gives back answers; any thread may ask.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "chat/answer.h"
#include "chat/grammars.h"
#include "chat/prompt_format.h"
#include "chat/request.h"
#include "engine/service.h"

namespace maestrale::chat {

struct ChatServiceOptions {
  std::string template_source = {};  // instead of the model's own, where not empty
  std::string template_name = {};
  text::RenderClock clock = {};
};

// What a model can be asked for besides going on with text.
struct Abilities {
  bool chat = false;    // it has a format for conversations
  bool calls = false;   // … with tool calls
  bool thinks = false;  // … with thoughts before the answer
};

class ChatService {
 public:
  // Errors: a model without a tokenizer; a template that cannot be read. A model without a chat template can
  // still continue text.
  static Result<std::unique_ptr<ChatService>> create(std::unique_ptr<engine::Service> service,
                                                     const ChatServiceOptions& options = {});
  // The same of a model that is not loaded; with create()'s errors.
  static Result<Abilities> abilities_of(const files::Checkpoint& checkpoint,
                                        const ChatServiceOptions& options = {});

  // Errors: kResource only where the queue is full; all others are the request's fault, `where` names the
  // field. A prompt that exceeds the context is refused with both numbers.
  Result<std::unique_ptr<Answer>> chat(const ChatRequest& request);
  Result<std::unique_ptr<Answer>> complete(const TextRequest& request);
  Result<text::Prompt> prompt_of(const ChatRequest& request) const;
  Result<std::vector<text::TokenId>> tokens_of(const TextRequest& request) const;

  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  const engine::Engine& engine() const { return service_->engine(); }
  const Abilities& abilities() const { return abilities_; }
  engine::ServiceStats stats() const { return service_->stats(); }
  void drain(double seconds) { service_->drain(seconds); }

 private:
  explicit ChatService(std::unique_ptr<engine::Service> service);
  Result<engine::ServiceRequest> engine_request(const CommonRequest& common,
                                                std::vector<text::TokenId> prompt) const;
  Result<json::object> variables_of(const ChatRequest& request) const;
  void learn_template(const std::string& source);

  std::unique_ptr<engine::Service> service_;
  const text::Tokenizer* tokenizer_ = nullptr;
  std::optional<PromptFormat> format_;
  std::optional<Error> no_format_;
  Abilities abilities_;
  Dialect plain_dialect_;  // the model's dialect without its calls
  std::unique_ptr<Grammars> grammars_;
  text::RenderClock clock_;
  bool thinking_switch_ = false;    // the template reads enable_thinking
  bool effort_switch_ = false;      // … or reasoning_effort
  bool arguments_as_text_ = false;  // the template wants a call's arguments as text
  bool is_template_ = false;
};

}  // namespace maestrale::chat
