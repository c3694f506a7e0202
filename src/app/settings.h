// Settings: the options of a command, also from a TOML file and from the environment. A flag beats the
// environment, that beats the file, that beats the default. The options themselves are the only list: a
// setting is called like its option, `kv-tokens` in the file and MAESTRALE_KV_TOKENS in the environment, and
// is read by the same function as the flag.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace maestrale::app {

struct Setting {
  std::string name;
  std::vector<std::string> values;  // as they were written; empty: the default
  std::string source;               // "command line", "MAESTRALE_PORT", "serve.toml:3" or "default"
  std::string fallback;             // the default, as the option's help says it
  bool is_list = false, is_flag = false;

  bool is_secret() const { return name == "api-key"; }
};

// Declares --config.
void add_config_option(CLI::App& app, std::string& target);

// Gives `app`, whose command line has been read, what stands in the file (empty: none, unless
// MAESTRALE_CONFIG names one) and in the environment. What is in force, in the order of the options. Errors
// (kUsage) name the file and line, or the variable: unreadable TOML, an unknown key with the nearest that is
// known, a value that the option refuses.
Result<std::vector<Setting>> apply_settings(CLI::App& app, const std::string& file);

// As TOML, each line with its source; defaults stand in comments. Keys (api-key) are not shown.
std::string render_settings(const std::vector<Setting>& settings);

// How many letters must be changed, added or left out.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace maestrale::app
