// Lines from a person or from a script: with editing and history on a terminal, plain lines otherwise.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"

namespace maestrale::app {

class LineEditor {
 public:
  virtual ~LineEditor() = default;
  // The next line without its end; nothing at the end of the input (Ctrl-D). Ctrl-C gives an empty line.
  virtual std::optional<std::string> read(const std::string& prompt) = 0;
  virtual bool interactive() const = 0;

  // An editor on standard error where standard input and error are terminals.
  static std::unique_ptr<LineEditor> open();
};

}  // namespace maestrale::app
