// maestrale-golden: runs a folder of golden cases (expected results of independent implementations) and says
// where Maestrale differs. docs/numerics.md describes the layout.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "read.h"
#include "report.h"
#include "sections.h"

namespace maestrale::golden {
namespace {

namespace fs = std::filesystem;

struct Section {
  std::string_view name;
  Status (*run)(const fs::path&, const Places&, Report&);
  bool (*is_one)(const fs::path&);  // whether a folder of any name holds this section's files
};

bool has_case_folders(const fs::path& folder) {
  for (const fs::path& entry : sorted_entries(folder)) {
    if (fs::exists(entry / "expected.json")) return true;
  }
  return fs::exists(folder / "expected.json");
}

bool has_vocabularies(const fs::path& folder) {
  for (const fs::path& entry : sorted_entries(folder)) {
    if (entry.string().ends_with(".json.gz")) return true;
  }
  return false;
}

const std::vector<Section>& sections() {
  static const std::vector<Section> kSections = {
      {"quants", run_quants, [](const fs::path& folder) { return fs::exists(folder / "index.json"); }},
      {"tokenizers", run_tokenizers, has_vocabularies},
      {"templates", run_templates,
       [](const fs::path& folder) {
         return fs::exists(folder / "cases.jsonl.gz") || fs::exists(folder / "cases.jsonl");
       }},
      {"arch", run_arch, has_case_folders},
  };
  return kSections;
}

fs::path shared_folder() {
  const char* named = std::getenv("MAESTRALE_SHARED");
  return named != nullptr && *named != '\0' ? fs::path(named) : fs::path("../shared");
}

// The folder with vocabularies and templates: the first of these that is there.
fs::path find_data(const fs::path& folder, const std::string& named) {
  if (!named.empty()) return named;
  const fs::path whole = fs::absolute(folder).lexically_normal() / "";
  const fs::path up = whole.parent_path().parent_path();
  for (const fs::path& candidate : {shared_folder() / "data", up / "data", up.parent_path() / "data"}) {
    if (fs::is_directory(candidate)) return candidate;
  }
  return {};
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    if (comma > at) parts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

// Runs the sections inside `folder`, or the section that it is.
void run_folder(const fs::path& folder, const Places& places, Report& report) {
  for (const Section& section : sections()) {
    const bool inside = fs::is_directory(folder / section.name);
    if (!inside && !section.is_one(folder)) continue;
    report.begin(section.name);
    const Status status = section.run(inside ? folder / section.name : folder, places, report);
    if (!status.ok()) report.fail(section.name, status.error().render());
    report.end();
  }
}

int run(int argc, char** argv) {
  CLI::App app("Runs golden cases and compares bit for bit, or within the stated tolerance.",
               "maestrale-golden");
  std::string folder, isas, only, data;
  bool if_present = false;
  app.add_option("DIR", folder, "folder with arch/, quants/, tokenizers/, templates/, or one of them");
  app.add_option("--isa", isas,
                 "instruction sets for arch/, comma-separated (default: all that this machine has)");
  app.add_option("--only", only, "run only cases whose name contains this");
  app.add_option("--data", data, "folder with tokenizers/ and chat_templates/");
  app.add_flag("--if-present", if_present, "succeed where DIR does not exist");
  CLI11_PARSE(app, argc, argv);

  const fs::path path = folder.empty() ? shared_folder() / "golden" : fs::path(folder);
  if (!fs::is_directory(path)) {
    fmt::print(
        "{}there is no golden data at {} (MAESTRALE_SHARED names the folder that holds golden/ and data/)\n",
        if_present ? "SKIPPED: " : "error: ", path.string());
    if (if_present) fmt::print("0 passed, 0 failed, 1 skipped\n");
    return if_present ? 0 : 2;
  }
  Report report(only);
  run_folder(path, {.data = find_data(path, data), .isas = split_list(isas)}, report);
  if (report.nothing_ran()) {
    fmt::print("error: {} holds no golden case{}\n", path.string(), only.empty() ? "" : " of that name");
    return 2;
  }
  return report.finish();
}

}  // namespace
}  // namespace maestrale::golden

int main(int argc, char** argv) { return maestrale::golden::run(argc, argv); }
