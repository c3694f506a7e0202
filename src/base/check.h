// CHECK: a bug of ours stops the program with where and why. Never used on what a file or a user says.
#pragma once

namespace maestrale {
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* why);
}  // namespace maestrale

#define CHECK(condition, why) \
  (static_cast<bool>(condition) ? void(0) : ::maestrale::check_failed(__FILE__, __LINE__, #condition, why))
