#include "app/render.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "base/utf8.h"

namespace maestrale::app {

Status write_out(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const bool closed = errno == EPIPE;
      return Error{.kind = closed ? ErrorKind::kCancelled : ErrorKind::kIo,
                   .what = fmt::format("cannot write: {}", std::strerror(errno)),
                   .where = "standard output"};
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Status write_json(const json::value& value) { return write_out(json::serialize(value) + "\n"); }

void write_note(std::string_view line) {
  const std::string text = std::string(line) + "\n";
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }
bool stdin_is_terminal() { return ::isatty(STDIN_FILENO) == 1; }
bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }

ProgressBar::ProgressBar(std::string label, bool quiet)
    : label_(std::move(label)), enabled_(!quiet && stderr_is_terminal()) {}

void ProgressBar::update(double fraction) {
  const auto now = std::chrono::steady_clock::now();
  if (!enabled_ || now < next_ || !std::isfinite(fraction)) return;
  next_ = now + std::chrono::milliseconds(100);
  drawn_ = true;
  constexpr int kWidth = 30;
  const double bounded = std::clamp(fraction, 0.0, 1.0);
  const auto filled = static_cast<std::size_t>(bounded * kWidth);
  const std::string bar = std::string(filled, '#') + std::string(kWidth - filled, '.');
  const std::string line = fmt::format("\r{} [{}] {:3.0f} %", label_, bar, bounded * 100.0);
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
}

void ProgressBar::finish() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

std::string human_count(std::int64_t count) {
  const auto value = static_cast<double>(count);
  if (count >= 1000000000000) return fmt::format("{:.2f} trillion", value / 1e12);
  if (count >= 1000000000) return fmt::format("{:.2f} billion", value / 1e9);
  if (count >= 1000000) return fmt::format("{:.1f} million", value / 1e6);
  if (count >= 10000) return fmt::format("{:.0f} thousand", value / 1e3);
  return fmt::format("{}", count);
}

std::string pad(std::string_view text, std::size_t width) {
  std::string out(text);
  if (out.size() < width) out.append(width - out.size(), ' ');
  return out;
}

std::string show_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : replace_invalid_utf8(text)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace maestrale::app
