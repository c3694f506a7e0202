// What a run of golden cases found: a line for each failure, a summary for each section, one closing line.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace maestrale::golden {

class Report {
 public:
  explicit Report(std::string only) : only_(std::move(only)) {}

  // False where --only leaves this case out.
  bool wants(std::string_view case_name) const { return case_name.find(only_) != std::string_view::npos; }

  void begin(std::string_view section);
  void pass() { ++passed_; }
  void fail(std::string_view case_name, std::string_view why);
  void skip(std::string_view case_name, std::string_view why);
  void judge(std::string_view case_name, const std::string& problem) {  // "" is a pass
    problem.empty() ? pass() : fail(case_name, problem);
  }
  // Ends a section; `note` joins its summary.
  void end(std::string_view note = {});

  // Prints the closing line; the program's exit status.
  int finish() const;
  bool nothing_ran() const { return passed_ + failed_ + skipped_ == 0; }

 private:
  std::string only_;
  std::string section_;
  std::int64_t passed_ = 0, failed_ = 0, skipped_ = 0;
  std::int64_t passed_before_ = 0, failed_before_ = 0, skipped_before_ = 0;
  std::map<std::string, std::int64_t> skip_reasons_;
};

}  // namespace maestrale::golden
