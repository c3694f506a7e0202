#include "app/conversation.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace maestrale::app {
namespace {

Result<json::object> variables(std::string_view text) {
  return template_variables(parse_json(text, "c.json").value(), nullptr, "c.json");
}

TEST(TemplateVariables, ABareListIsTheMessages) {
  const json::object found = variables(R"([{"role": "user", "content": "hi"}])").value();
  EXPECT_EQ(found.at("messages").as_array().size(), 1u);
  EXPECT_EQ(found.at("add_generation_prompt"), false);
  EXPECT_TRUE(found.at("tools").is_null());
  EXPECT_EQ(found.at("bos_token"), "");
}

TEST(TemplateVariables, ExtraBecomesVariables) {
  const json::object found =
      variables(R"({"messages": [], "bos_token": "<s>", "extra": {"enable_thinking": false}})").value();
  EXPECT_EQ(found.at("enable_thinking"), false);
  EXPECT_EQ(found.at("bos_token"), "<s>");
  EXPECT_FALSE(found.contains("extra"));
}

TEST(TemplateVariables, RefusesWhatItDoesNotKnow) {
  for (const char* bad :
       {"{}", "3", R"({"messages": 3})", R"([3])", R"([{"content": "x"}])", R"([{"role": 3}])",
        R"({"messages": [], "tool": []})", R"({"messages": [], "extra": 3})"}) {
    const auto result = variables(bad);
    ASSERT_FALSE(result.ok()) << bad;
    EXPECT_EQ(result.error().where.rfind("c.json", 0), 0u) << result.error().where;
  }
}

}  // namespace
}  // namespace maestrale::app
