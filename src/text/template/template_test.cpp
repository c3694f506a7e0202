#include "text/template/template.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "base/file.h"

namespace maestrale::text {
namespace {

std::filesystem::path shared_folder() {
  const char* folder = std::getenv("MAESTRALE_SHARED");
  return folder != nullptr && *folder != '\0' ? std::filesystem::path(folder) : "../shared";
}

Result<std::string> gunzip(const std::filesystem::path& path) {
  const std::string command = "gzip -dc '" + path.string() + "'";
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return Error{.kind = ErrorKind::kIo, .what = "gzip does not start"};
  std::string out;
  char buffer[1 << 16];
  for (std::size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, n);
  pclose(pipe);
  return out;
}

json::object variables_of(const json::object& conversation, bool tools_undefined) {
  json::object out;
  out["messages"] = conversation.at("messages");
  if (!tools_undefined) out["tools"] = conversation.at("tools");
  out["documents"] = nullptr;
  out["add_generation_prompt"] = conversation.at("add_generation_prompt");
  out["bos_token"] = conversation.at("bos_token");
  out["eos_token"] = conversation.at("eos_token");
  for (const auto& [key, value] : conversation.at("extra").as_object()) out[key] = value;
  return out;
}

constexpr std::int64_t kGoldenClock = 1795435200;  // 2026-11-23 12:00:00

struct Tally {
  int right = 0, wrong = 0, runtime = 0;
};

void check_case(const json::object& golden, const ChatTemplate& chat_template, Tally& tally) {
  const std::string id =
      std::string(golden.at("template").as_string()) + " " + golden.at("id").as_string().c_str();
  const bool tools_undefined = id.ends_with("#tools_undefined");
  const json::object variables = variables_of(golden.at("conversation").as_object(), tools_undefined);
  const auto result = chat_template.render(variables, {}, {.unix_seconds = kGoldenClock});
  if (const json::value* error = golden.if_contains("error")) {
    if (error->at("kind").as_string() == "runtime") {
      ++tally.runtime;
      return;
    }
    const bool right = !result.ok() && is_template_refusal(result.error()) &&
                       result.error().what == error->at("message").as_string().c_str();
    ++(right ? tally.right : tally.wrong);
    EXPECT_TRUE(right) << id << ": " << (result.ok() ? *result : result.error().render());
    return;
  }
  const json::value* safe = golden.if_contains("rendered_safe_as_identity");
  const std::string wanted(safe != nullptr ? safe->as_string() : golden.at("rendered").as_string());
  const bool right = result.ok() && *result == wanted;
  ++(right ? tally.right : tally.wrong);
  EXPECT_TRUE(right) << id << "\n--- " << (result.ok() ? *result : result.error().render()) << "\n+++ "
                     << wanted;
}

TEST(ChatTemplateTest, RendersAsTransformersDoes) {
  const auto cases = shared_folder() / "golden/templates/cases.jsonl.gz";
  if (!std::filesystem::exists(cases)) GTEST_SKIP() << "no golden cases at " << cases;
  const auto text = gunzip(cases);
  ASSERT_TRUE(text.ok());
  std::map<std::string, ChatTemplate> templates;
  Tally tally;
  for (std::size_t start = 0; start < text->size();) {
    const std::size_t end = std::min(text->find('\n', start), text->size());
    const auto golden = parse_json(std::string_view(*text).substr(start, end - start), "cases.jsonl");
    ASSERT_TRUE(golden.ok()) << golden.error().render();
    const std::string name(golden->at("template").as_string());
    if (!templates.contains(name)) {
      const auto source = read_file(shared_folder() / "data/chat_templates" / name, 1 << 20);
      ASSERT_TRUE(source.ok()) << source.error().render();
      auto parsed = ChatTemplate::parse(*source, name);
      ASSERT_TRUE(parsed.ok()) << parsed.error().render();
      templates.emplace(name, std::move(parsed).value());
    }
    check_case(golden->as_object(), templates.at(name), tally);
    start = end + 1;
  }
  EXPECT_EQ(tally.wrong, 0);
  RecordProperty("right", tally.right);
  RecordProperty("runtime", tally.runtime);
  std::printf("right %d, wrong %d, not counted %d\n", tally.right, tally.wrong, tally.runtime);
}

}  // namespace
}  // namespace maestrale::text
