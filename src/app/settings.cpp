#include "app/settings.h"

#include <fmt/core.h>
#include <stdlib.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <numeric>
#include <optional>

#include "app/options.h"
#include "app/render.h"
#include "base/file.h"

namespace maestrale::app {
namespace {

constexpr std::uint64_t kMaxFileBytes = 1u << 20;
constexpr std::string_view kConfig = "config", kVariables = "MAESTRALE_";

struct Said {
  std::vector<std::string> values;
  std::string source;
};
using Sayings = std::map<std::string, Said>;

// "--kv-tokens" to "kv-tokens", the positional "MODEL" to "models"; nothing for --help and --config.
std::string setting_name(const CLI::Option& option) {
  if (!option.get_lnames().empty()) {
    const std::string& name = option.get_lnames().front();
    return name == "help" || name == kConfig ? "" : name;
  }
  std::string name = option.get_name(true);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name + "s";
}

std::string variable_name(std::string_view setting) {
  std::string name(kVariables);
  for (const char c : setting)
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }
bool is_list(const CLI::Option& option) {
  return option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll ||
         option.get_items_expected_max() > 1;
}

Error wrong(std::string where, std::string what, std::string expected, std::string found) {
  return {.kind = ErrorKind::kUsage,
          .what = std::move(what),
          .where = std::move(where),
          .expected = std::move(expected),
          .found = std::move(found)};
}

std::string_view nearest(std::string_view name, const std::vector<std::string>& known) {
  return *std::min_element(known.begin(), known.end(), [name](const std::string& a, const std::string& b) {
    return edit_distance(name, a) < edit_distance(name, b);
  });
}

// One value of the file as a person would type it after the flag.
Result<std::string> text_of(const toml::node& node, const std::string& where) {
  if (const auto* text = node.as_string()) return std::string(text->get());
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* truth = node.as_boolean()) return std::string(truth->get() ? "true" : "false");
  return wrong(where, "unusable value", "a text, a number, true or false",
               node.is_table()   ? "a table"
               : node.is_array() ? "a list in a list"
                                 : "a date");
}

Result<std::vector<std::string>> values_of(const toml::node& node, const CLI::Option& option,
                                           const std::string& where) {
  if (is_flag(option) && !node.is_boolean()) return wrong(where, "unusable value", "true or false", "");
  if (!is_flag(option) && node.is_boolean())
    return wrong(where, "unusable value", "a value", "true or false");
  std::vector<std::string> values;
  const toml::array* list = node.as_array();
  if (list == nullptr) {
    values.push_back(TRY(text_of(node, where)));
    return values;
  }
  if (!is_list(option)) return wrong(where, "unusable value", "one value", "a list");
  for (const toml::node& part : *list) values.push_back(TRY(text_of(part, where)));
  return values;
}

Result<Sayings> read_file_settings(const std::string& file,
                                   const std::map<std::string, const CLI::Option*>& options,
                                   const std::vector<std::string>& known) {
  const std::string text = TRY(read_file(file, kMaxFileBytes));
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "not TOML: " + std::string(error.description()),
                 .where = fmt::format("{}:{}", file, error.source().begin.line)};
  }
  Sayings said;
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string where = fmt::format("{}:{}", file, key.source().begin.line);
    const auto found = options.find(name);
    if (found == options.end()) {
      Error error = wrong(where, fmt::format("there is no setting '{}'", name), "", "");
      error.hint = fmt::format("the nearest is '{}'", nearest(name, known));
      return error;
    }
    auto values = TRY(values_of(node, *found->second, fmt::format("{}: {}", where, name)));
    said.emplace(name, Said{std::move(values), where});
  }
  return said;
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Result<Sayings> read_variables(const std::map<std::string, const CLI::Option*>& options) {
  constexpr std::size_t kTypingError = 2;
  std::map<std::string, const CLI::Option*> variables;
  std::vector<std::string> known;
  for (const auto& [name, option] : options) {
    known.push_back(variable_name(name));
    variables.emplace(known.back(), option);
  }
  Sayings said;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string name(text.substr(0, text.find('=')));
    if (!name.starts_with(kVariables) || name == variable_name(kConfig)) continue;
    const auto found = variables.find(name);
    if (found == variables.end()) {  // may be another program's, unless it is nearly one of these
      const std::string_view other = nearest(name, known);
      if (edit_distance(name, other) > kTypingError) continue;
      Error error = wrong(name, "there is no such setting", "", "");
      error.hint = fmt::format("the nearest is {}", other);
      return error;
    }
    const std::string_view value = text.substr(name.size() + 1);
    const CLI::Option& option = *found->second;
    if (is_flag(option) && value != "true" && value != "false")
      return wrong(name, "unusable value", "true or false", fmt::format("'{}'", value));
    std::vector<std::string> values =
        is_list(option) ? split_list(value) : std::vector<std::string>{std::string(value)};
    said.emplace(setting_name(option), Said{std::move(values), name});
  }
  return said;
}

Status give(CLI::Option& option, const Said& said) {
  if (is_flag(option) && said.values.front() == "false") return {};
  try {
    for (const std::string& value : said.values) option.add_result(value);
    if (!said.values.empty()) option.run_callback();
  } catch (const CLI::Error& error) {
    return Error{.kind = ErrorKind::kUsage, .what = error.what(), .where = said.source};
  }
  return {};
}

// What stands in the help after "default: ".
std::string fallback_of(const CLI::Option& option) {
  if (is_flag(option)) return "false";
  constexpr std::string_view kMark = "(default: ";
  const std::string help = option.get_description();
  const std::size_t begin = help.rfind(kMark);
  if (begin == std::string::npos) return "not set";
  std::string text = help.substr(begin + kMark.size());
  if (text.ends_with(')')) text.pop_back();
  return text;
}

std::string toml_text(const Setting& setting, const std::string& value) {
  if (setting.is_flag) return value;
  const bool number =
      !value.empty() && value.size() < 16 &&
      std::all_of(value.begin(), value.end(), [](unsigned char c) { return std::isdigit(c); });
  return number && (value.size() == 1 || value.front() != '0') ? value : show_text(value);
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t corner = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t change = corner + (a[i] == b[j] ? 0 : 1);
      corner = row[j + 1];
      row[j + 1] = std::min({change, row[j] + 1, corner + 1});
    }
  }
  return row.back();
}

void add_config_option(CLI::App& app, std::string& target) {
  add_text(app, "--config", target,
           "TOML file with these options by their names; flags and MAESTRALE_… variables go before it");
}

Result<std::vector<Setting>> apply_settings(CLI::App& app, const std::string& file) {
  std::map<std::string, const CLI::Option*> options;
  std::vector<std::string> known;
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = setting_name(*option);
    if (name.empty()) continue;
    options.emplace(name, option);
    known.push_back(name);
  }
  const char* variable = ::getenv(variable_name(kConfig).c_str());
  const std::string path = file.empty() && variable != nullptr ? variable : file;
  const Sayings variables = TRY(read_variables(options));
  Sayings in_file;
  if (!path.empty()) in_file = TRY(read_file_settings(path, options, known));
  std::vector<Setting> settings;
  for (CLI::Option* option : app.get_options()) {
    Setting setting{.name = setting_name(*option),
                    .values = option->results(),
                    .source = "command line",
                    .fallback = fallback_of(*option),
                    .is_list = is_list(*option),
                    .is_flag = is_flag(*option)};
    if (setting.name.empty()) continue;
    if (option->count() == 0) {
      const auto variable_said = variables.find(setting.name);
      const auto file_said = in_file.find(setting.name);
      const Said* said = variable_said != variables.end() ? &variable_said->second
                         : file_said != in_file.end()     ? &file_said->second
                                                          : nullptr;
      if (said != nullptr) TRY(give(*option, *said));
      setting.values = said != nullptr ? said->values : std::vector<std::string>();
      setting.source = said != nullptr ? said->source : "default";
    }
    settings.push_back(std::move(setting));
  }
  return settings;
}

std::string render_settings(const std::vector<Setting>& settings) {
  constexpr std::size_t kWidth = 48;
  std::string out;
  for (const Setting& setting : settings) {
    if (setting.source == "default") {
      out += fmt::format("# {} = {}\n", setting.name, setting.fallback);
      continue;
    }
    std::string value;
    for (const std::string& part : setting.values) {
      const std::string shown = setting.is_secret() ? "\"…\"" : toml_text(setting, part);
      value += (value.empty() ? "" : ", ") + shown;
    }
    if (setting.is_list) value = "[" + value + "]";
    out += fmt::format("{} # {}\n", pad(fmt::format("{} = {}", setting.name, value), kWidth), setting.source);
  }
  return out;
}

}  // namespace maestrale::app
