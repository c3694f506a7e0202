// templates/: chat templates and conversations as Python's jinja2 renders them, compared byte for byte.
#include <fmt/core.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <unordered_map>

#include "base/file.h"
#include "read.h"
#include "sections.h"
#include "text/template/template.h"

namespace maestrale::golden {
namespace {

namespace fs = std::filesystem;

using Templates = std::unordered_map<std::string, Result<text::ChatTemplate>>;

// The clock that the expected results were made with.
constexpr text::RenderClock kNoonOf23November2026 = {.unix_seconds = 1795435200};

Result<text::ChatTemplate> parse_template(const fs::path& path) {
  return text::ChatTemplate::parse(TRY(read_file(path, kMaxGoldenBytes)), path);
}

Result<json::object> variables_of(const JsonFields& fields) {
  const json::object& conversation = *TRY(fields.object("conversation"));
  json::object variables;
  for (const auto& [key, value] : conversation) {
    if (key != "extra" && key != "tools") variables[key] = value;
  }
  variables["documents"] = nullptr;
  const json::value* tools = conversation.if_contains("tools");
  if (!TRY(fields.string("id")).ends_with("#tools_undefined"))
    variables["tools"] = tools == nullptr ? nullptr : *tools;
  if (const json::value* extra = conversation.if_contains("extra"); extra != nullptr && extra->is_object()) {
    for (const auto& [key, value] : extra->get_object()) variables[key] = value;
  }
  return variables;
}

std::string as_json(std::string_view text) { return json::serialize(json::value(text)); }

std::string text_difference(const std::string& got, const std::string& expected) {
  const auto at = static_cast<std::size_t>(
      std::mismatch(got.begin(), got.end(), expected.begin(), expected.end()).first - got.begin());
  const std::size_t from = at < 20 ? 0 : at - 20;
  return fmt::format("differs at byte {}: …{}, expected …{}", at, as_json(got.substr(from, 60)),
                     as_json(expected.substr(from, 60)));
}

struct Outcome {
  bool counted = true;
  std::string problem;
};

Result<Outcome> judge(const JsonFields& fields, const Result<std::string>& rendered) {
  if (fields.has("error")) {
    const JsonFields error(*TRY(fields.object("error")), fields.where());
    // Where Python itself failed, rendering something and failing are both right.
    if (TRY(error.string("kind")) != "raise_exception") return Outcome{.counted = false, .problem = {}};
    const std::string message = TRY(error.string("message"));
    if (rendered.ok())
      return Outcome{.problem = fmt::format("rendered, expected the error {}", as_json(message))};
    const Error& said = rendered.error();
    if (text::is_template_refusal(said) && said.what == message) return Outcome{};
    return Outcome{.problem =
                       fmt::format("failed with {}, expected {}", as_json(said.render()), as_json(message))};
  }
  const std::string expected = TRY(fields.string("rendered"));
  if (!rendered.ok()) return Outcome{.problem = rendered.error().render()};
  if (*rendered == expected) return Outcome{};
  if (fields.has("rendered_safe_as_identity") &&
      *rendered == TRY(fields.string("rendered_safe_as_identity"))) {
    return Outcome{};
  }
  return Outcome{.problem = text_difference(*rendered, expected)};
}

Result<bool> run_case(const std::string& line, const std::string& where, const Places& places,
                      Templates& templates, Report& report) {
  const json::value item = TRY(parse_json(line, where));
  const JsonFields fields(*TRY(object_of(item, where)), where);
  const std::string name = TRY(fields.string("template"));
  const std::string case_name = fmt::format("templates/{}/{}", name, TRY(fields.string("id")));
  if (!report.wants(case_name)) return true;
  auto known = templates.find(name);
  if (known == templates.end()) {
    known = templates.emplace(name, parse_template(places.data / "chat_templates" / name)).first;
  }
  if (!known->second.ok() && known->second.error().kind == ErrorKind::kNotFound) {
    report.skip(case_name, "no template at " + known->second.error().where);
    return true;
  }
  const json::object variables = TRY(variables_of(fields));
  const Result<std::string> rendered =
      known->second.ok() ? known->second->render(variables, text::TemplateLimits{}, kNoonOf23November2026)
                         : Result<std::string>(known->second.error());
  const Outcome outcome = TRY(judge(fields, rendered));
  if (outcome.counted) report.judge(case_name, outcome.problem);
  return outcome.counted;
}

}  // namespace

Status run_templates(const fs::path& folder, const Places& places, Report& report) {
  const fs::path packed = folder / "cases.jsonl.gz";
  const fs::path path = fs::exists(packed) ? packed : folder / "cases.jsonl";
  const std::string lines = TRY(read_maybe_gzipped(path));
  Templates templates;
  std::size_t number = 0;
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', at), lines.size());
    const std::string line = lines.substr(at, end - at);
    at = end + 1;
    ++number;
    if (!line.empty())
      TRY(run_case(line, fmt::format("{}:{}", path.string(), number), places, templates, report));
  }
  return {};
}

}  // namespace maestrale::golden
