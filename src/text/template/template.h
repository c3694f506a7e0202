// Chat templates: our own Jinja, with the Python semantics that Hugging Face's templates rely on. A template
// is parsed once and may be rendered by any number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace maestrale::text {

// What a template may use; beyond it rendering ends with an error of kind kResource.
struct TemplateLimits {
  std::int64_t steps = 50'000'000;        // nodes evaluated, and bytes handled by filters
  int depth = 200;                        // macros inside macros
  std::size_t output_bytes = 64u << 20;   // of the result, and of any captured block
  std::size_t memory_bytes = 512u << 20;  // of all values made on the way
};

// What strftime_now() reads, UTC; 0 means the computer's clock.
struct RenderClock {
  std::int64_t unix_seconds = 0;
};

namespace jinja {
struct Program;
}

class ChatTemplate {
 public:
  // `where` names the template in errors, which carry the line.
  static Result<ChatTemplate> parse(std::string_view source, const std::string& where);

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // `variables` as transformers passes them: messages, tools, add_generation_prompt, bos_token, …
  // What the template says through raise_exception(message) comes back as an Error of kind kInvalidInput
  // whose `what` is exactly the message; is_template_refusal() tells it from other errors.
  Result<std::string> render(const json::object& variables, const TemplateLimits& limits = {},
                             const RenderClock& clock = {}) const;

  // Whether the source names this variable anywhere (e.g. "tools", "enable_thinking").
  bool mentions(std::string_view variable) const;

 private:
  explicit ChatTemplate(std::unique_ptr<const jinja::Program> program);
  std::unique_ptr<const jinja::Program> program_;
};

bool is_template_refusal(const Error& error);

}  // namespace maestrale::text
