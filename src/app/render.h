// What a person sees: results on standard output, everything else on standard error.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace maestrale::app {

// Writes all of it and flushes. An error where nobody takes it: kCancelled for a closed pipe, else kIo.
Status write_out(std::string_view text);
// One line of JSON.
Status write_json(const json::value& value);
// To standard error; lost output there is nobody's loss.
void write_note(std::string_view line);
bool stderr_is_terminal();
bool stdin_is_terminal();
bool stdout_is_terminal();

// A bar on standard error, drawn only on a terminal and gone when done.
class ProgressBar {
 public:
  ProgressBar(std::string label, bool quiet);
  ~ProgressBar() { finish(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(double fraction);
  void finish();

 private:
  std::string label_;
  bool enabled_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_{};
};

// "1.10 billion", "260 thousand", "512".
std::string human_count(std::int64_t count);
// `text` with spaces up to `width` bytes.
std::string pad(std::string_view text, std::size_t width);
// Text made safe to show inside a line: control characters as escapes, in double quotes.
std::string show_text(std::string_view text);

}  // namespace maestrale::app
