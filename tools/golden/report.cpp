#include "report.h"

#include <fmt/core.h>

namespace maestrale::golden {

void Report::begin(std::string_view section) {
  section_ = section;
  passed_before_ = passed_;
  failed_before_ = failed_;
  skipped_before_ = skipped_;
  skip_reasons_.clear();
}

void Report::fail(std::string_view case_name, std::string_view why) {
  ++failed_;
  fmt::print("FAIL {}: {}\n", case_name, why);
}

void Report::skip(std::string_view case_name, std::string_view why) {
  ++skipped_;
  if (skip_reasons_[std::string(why)]++ == 0) fmt::print("skip {}: {}\n", case_name, why);
}

void Report::end(std::string_view note) {
  fmt::print("{}: {} passed, {} failed, {} skipped{}{}\n", section_, passed_ - passed_before_,
             failed_ - failed_before_, skipped_ - skipped_before_, note.empty() ? "" : "; ", note);
}

int Report::finish() const {
  fmt::print("{} passed, {} failed", passed_, failed_);
  if (skipped_ > 0) fmt::print(", {} skipped", skipped_);
  fmt::print("\n");
  return failed_ > 0 ? 1 : 0;
}

}  // namespace maestrale::golden
