// Any text as a chat template: one clear error, or a program that renders a conversation within its limits.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/template/template.h"

namespace {

maestrale::json::object conversation() {
  namespace json = maestrale::json;
  return {{"messages", json::array{json::object{{"role", "system"}, {"content", "Be brief."}},
                                   json::object{{"role", "user"}, {"content", " hé\n<b> "}},
                                   json::object{{"role", "assistant"}, {"content", nullptr}}}},
          {"tools", json::array{json::object{{"type", "function"}, {"name", "add"}, {"n", 2.5}}}},
          {"add_generation_prompt", true},
          {"bos_token", "<s>"}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const maestrale::json::object variables = conversation();
  constexpr maestrale::text::TemplateLimits kLimits{
      .steps = 20'000, .depth = 50, .output_bytes = 1 << 16, .memory_bytes = 8 << 20};
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto parsed = maestrale::text::ChatTemplate::parse(source, "fuzz");
  if (!parsed) return 0;
  (void)parsed->render(variables, kLimits, {.unix_seconds = 1'700'000'000}).ok();
  (void)parsed->mentions("tools");
  return 0;
}
