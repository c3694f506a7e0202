#include "text/template/template.h"

#include <chrono>

#include "text/template/machine.h"
#include "text/template/parser.h"

namespace maestrale::text {
namespace {
constexpr std::string_view kRefusal = "the chat template refused this conversation";
}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<const jinja::Program> program) : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, const std::string& where) {
  return ChatTemplate(TRY(jinja::parse_program(source, where)));
}

Result<std::string> ChatTemplate::render(const json::object& variables, const TemplateLimits& limits,
                                         const RenderClock& clock) const {
  std::int64_t now = clock.unix_seconds;
  if (now == 0) {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    now = std::chrono::duration_cast<std::chrono::seconds>(since).count();
  }
  return jinja::Machine(*program_, limits, now).render(variables);
}

bool ChatTemplate::mentions(std::string_view variable) const {
  return program_->name_index.contains(variable);
}

bool is_template_refusal(const Error& error) { return error.hint == kRefusal; }

namespace jinja {
Result<Value> raise_exception(Machine& machine, const Value&, const Bound& arguments) {
  const std::string_view message = TRY(machine.str(arguments[0]));
  Error error = machine.fail(std::string(message));
  error.hint = kRefusal;
  return error;
}
}  // namespace jinja

}  // namespace maestrale::text
