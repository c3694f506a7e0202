// Harmony: functions as TypeScript-like declarations, and the texts of the system and developer messages.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "text/template/harmony.h"
#include "text/template/python_json.h"

namespace maestrale::text {
namespace {

const json::value* field(const json::value& schema, std::string_view key) {
  const json::object* object = schema.if_object();
  return object == nullptr ? nullptr : object->if_contains(key);
}

const json::array* list(const json::value& schema, std::string_view key) {
  const json::value* value = field(schema, key);
  return value == nullptr ? nullptr : value->if_array();
}

std::optional<std::string> text(const json::value& schema, std::string_view key) {
  const json::value* value = field(schema, key);
  const json::string* found = value == nullptr ? nullptr : value->if_string();
  return found == nullptr ? std::nullopt : std::optional<std::string>(*found);
}

bool is_true(const json::value& schema, std::string_view key) {
  const json::value* value = field(schema, key);
  return value != nullptr && value->is_bool() && value->get_bool();
}

bool is_enum(const json::value& schema) {
  const json::array* values = list(schema, "enum");
  return values != nullptr && !values->empty();
}

// "default: …", nothing where there is none.
std::optional<std::string> default_note(const json::value& schema, bool bare_enums) {
  const json::value* value = field(schema, "default");
  if (value == nullptr) return std::nullopt;
  if (const json::string* word = value->if_string()) {
    const bool bare = is_enum(schema) && bare_enums;
    return bare ? "default: " + std::string(*word) : "default: \"" + std::string(*word) + "\"";
  }
  return "default: " + (value->is_double() ? python_json(*value) : json::serialize(*value));
}

std::string nullable_type(const json::value& schema, const std::string& indent) {
  std::string type = harmony_type(schema, indent);
  if (is_true(schema, "nullable") && type.find("null") == type.npos) type += " | null";
  return type;
}

std::string notes(const std::vector<std::string>& list) {
  return list.empty() ? "" : fmt::format(" // {}", fmt::join(list, " "));
}

std::string one_of_type(const json::array& variants, const std::string& indent) {
  std::string out;
  for (const json::value& variant : variants) {
    out += "\n" + indent + " | " + nullable_type(variant, indent + "   ");
    std::vector<std::string> remarks;
    if (auto description = text(variant, "description")) remarks.push_back(*description);
    if (auto value = default_note(variant, false)) remarks.push_back(*value);
    out += notes(remarks);
  }
  return out;
}

std::string property_comments(const json::value& schema, const std::string& indent) {
  std::string out;
  if (auto title = text(schema, "title")) out += indent + "// " + *title + "\n" + indent + "//\n";
  const auto description = text(schema, "description");
  if (description && field(schema, "oneOf") == nullptr) out += indent + "// " + *description + "\n";
  const json::array* examples = list(schema, "examples");
  if (examples == nullptr || examples->empty()) return out;
  out += indent + "// Examples:\n";
  for (const json::value& example : *examples) {
    if (const json::string* word = example.if_string())
      out += indent + "// - \"" + std::string(*word) + "\"\n";
  }
  return out;
}

std::string one_of_property(const std::string& name, const json::value& schema, const json::array& variants,
                            const std::string& indent) {
  const auto description = text(schema, "description");
  const bool above =
      description && (variants.empty() || text(variants.front(), "description") != description);
  std::string out;
  if (above) out += indent + "// " + *description + "\n";
  if (auto value = default_note(schema, true)) out += indent + "// " + *value + "\n";
  out += indent + name + ":\n";
  for (std::size_t i = 0; i < variants.size(); ++i) {
    out += indent + " | " + nullable_type(variants[i], indent + "   ");
    std::vector<std::string> remarks;
    const auto own = text(variants[i], "description");
    if (own && own != description && !(i == 0 && above)) remarks.push_back(*own);
    if (auto value = default_note(variants[i], true)) remarks.push_back(*value);
    out += notes(remarks) + "\n";
  }
  return out + indent + ",\n";
}

std::string property(std::string name, const json::value& schema, const std::string& indent) {
  const std::string comments = property_comments(schema, indent);
  if (const json::array* variants = list(schema, "oneOf"))
    return comments + one_of_property(name, schema, *variants, indent);
  std::string out = comments + indent + name + ": " + nullable_type(schema, indent + "    ") + ",";
  const auto value = field(schema, "oneOf") == nullptr ? default_note(schema, true) : std::nullopt;
  return out + (value ? " // " + *value : "") + "\n";
}

std::string object_type(const json::value& schema, const std::string& indent) {
  std::string out;
  if (auto description = text(schema, "description")) out += indent + "// " + *description + "\n";
  out += "{\n";
  const json::value* properties = field(schema, "properties");
  if (properties != nullptr && properties->is_object()) {
    const json::array* required = list(schema, "required");
    for (const auto& [key, value] : properties->get_object()) {
      const bool needed = required != nullptr &&
                          std::find(required->begin(), required->end(), json::value(key)) != required->end();
      out += property(std::string(key) + (needed ? "" : "?"), value, indent);
    }
  }
  return out + indent + "}";
}

std::string string_type(const json::value& schema) {
  std::vector<std::string> values;
  if (const json::array* words = list(schema, "enum")) {
    for (const json::value& word : *words) {
      if (word.is_string()) values.push_back("\"" + std::string(word.get_string()) + "\"");
    }
  }
  return values.empty() ? "string" : fmt::format("{}", fmt::join(values, " | "));
}

std::string several_types(const json::array& types) {
  std::string out;
  for (const json::value& type : types) {
    if (!type.is_string()) continue;
    if (!out.empty()) out += " | ";
    out += type == "integer" ? "number" : std::string(type.get_string());
  }
  return out;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    if (!lines.back().empty() && lines.back().back() == '\r') lines.back().pop_back();
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string namespace_text(const HarmonyNamespace& space) {
  std::vector<std::string> out = {"## " + space.name + "\n"};
  const std::string comment = space.tools.empty() ? "" : "// ";
  for (const std::string& line : lines_of(space.description)) out.push_back(comment + line);
  if (space.tools.empty()) return fmt::format("{}", fmt::join(out, "\n"));
  out.push_back("namespace " + space.name + " {\n");
  for (const ToolDefinition& tool : space.tools) {
    for (const std::string& line : lines_of(tool.description)) out.push_back("// " + line);
    const std::string arguments = tool.has_parameters ? "_: " + harmony_type(tool.parameters) : "";
    out.push_back("type " + tool.name + " = (" + arguments + ") => any;\n");
  }
  out.push_back("} // namespace " + space.name);
  return fmt::format("{}", fmt::join(out, "\n"));
}

std::string tools_text(const std::vector<HarmonyNamespace>& tools) {
  std::string out = "# Tools";
  for (const HarmonyNamespace& space : tools) out += "\n\n" + namespace_text(space);
  return out;
}

}  // namespace

std::string harmony_type(const json::value& schema, const std::string& indent) {
  if (const json::array* variants = list(schema, "oneOf")) return one_of_type(*variants, indent);
  if (const json::array* types = list(schema, "type")) {
    std::string several = several_types(*types);
    if (!several.empty()) return several;
  }
  const std::string type = text(schema, "type").value_or("");
  if (type == "object") return object_type(schema, indent);
  if (type == "string") return string_type(schema);
  if (type == "number" || type == "integer") return "number";
  if (type == "boolean") return "boolean";
  if (type != "array") return "any";
  const json::value* items = field(schema, "items");
  return items == nullptr ? "Array<any>" : harmony_type(*items, indent) + "[]";
}

std::string harmony_system_text(const HarmonySystem& system, bool with_functions) {
  std::vector<std::string> top, sections;
  if (!system.identity.empty()) top.push_back(system.identity);
  if (!system.knowledge_cutoff.empty()) top.push_back("Knowledge cutoff: " + system.knowledge_cutoff);
  if (!system.date.empty()) top.push_back("Current date: " + system.date);
  if (!top.empty()) sections.push_back(fmt::format("{}", fmt::join(top, "\n")));
  if (!system.reasoning_effort.empty()) sections.push_back("Reasoning: " + system.reasoning_effort);
  if (!system.tools.empty()) sections.push_back(tools_text(system.tools));
  if (!system.channels.empty()) {
    std::string channels = fmt::format("# Valid channels: {}. Channel must be included for every message.",
                                       fmt::join(system.channels, ", "));
    if (with_functions) channels += "\nCalls to these tools must go to the commentary channel: 'functions'.";
    sections.push_back(std::move(channels));
  }
  return fmt::format("{}", fmt::join(sections, "\n\n"));
}

std::string harmony_developer_text(const std::string& instructions,
                                   const std::vector<HarmonyNamespace>& tools) {
  std::string out = instructions.empty() ? "" : "# Instructions\n\n" + instructions;
  if (tools.empty()) return out;
  return out + (out.empty() ? "" : "\n\n") + tools_text(tools);
}

}  // namespace maestrale::text
