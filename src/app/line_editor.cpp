#include "app/line_editor.h"

#include <histedit.h>

#include <clocale>
#include <cstdio>
#include <iostream>

#include "app/render.h"

namespace maestrale::app {
namespace {

constexpr int kHistoryLines = 1000;

class PlainLines final : public LineEditor {
 public:
  std::optional<std::string> read(const std::string&) override {
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return line;
  }
  bool interactive() const override { return false; }
};

struct EditClose {
  void operator()(EditLine* editor) const { el_end(editor); }
};
struct HistoryClose {
  void operator()(History* history) const { history_end(history); }
};

class TerminalLines final : public LineEditor {
 public:
  TerminalLines() : editor_(el_init("maestrale", stdin, stderr, stderr)), history_(history_init()) {
    if (!editor_ || !history_) return;
    HistEvent event;
    history(history_.get(), &event, H_SETSIZE, kHistoryLines);
    history(history_.get(), &event, H_SETUNIQUE, 1);
    el_set(editor_.get(), EL_CLIENTDATA, this);
    el_set(editor_.get(), EL_PROMPT, &TerminalLines::show_prompt);
    el_set(editor_.get(), EL_EDITOR, "emacs");
    el_set(editor_.get(), EL_HIST, history, history_.get());
    el_set(editor_.get(), EL_BIND, "^R", "em-inc-search-prev", nullptr);
    // While a line is edited, Ctrl-C is a key: it empties the line.
    el_set(editor_.get(), EL_SETTY, "-d", "-isig", nullptr);
    el_set(editor_.get(), EL_ADDFN, "drop-line", "Empty the line", &TerminalLines::drop_line);
    el_set(editor_.get(), EL_BIND, "^C", "drop-line", nullptr);
  }

  std::optional<std::string> read(const std::string& prompt) override {
    prompt_ = prompt;
    int length = 0;
    const char* text = el_gets(editor_.get(), &length);
    if (text == nullptr || length <= 0) return std::nullopt;
    std::string line(text, static_cast<std::size_t>(length));
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    HistEvent event;
    if (!line.empty()) history(history_.get(), &event, H_ENTER, line.c_str());
    return line;
  }

  bool interactive() const override { return true; }
  bool usable() const { return editor_ && history_; }

 private:
  static char* show_prompt(EditLine* editor) {
    TerminalLines* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return self->prompt_.data();
  }

  static unsigned char drop_line(EditLine* editor, int) {
    const LineInfo* line = el_line(editor);
    el_cursor(editor, static_cast<int>(line->lastchar - line->cursor));
    line = el_line(editor);
    el_deletestr(editor, static_cast<int>(line->cursor - line->buffer));
    return CC_NEWLINE;
  }

  std::unique_ptr<EditLine, EditClose> editor_;
  std::unique_ptr<History, HistoryClose> history_;
  std::string prompt_;
};

}  // namespace

std::unique_ptr<LineEditor> LineEditor::open() {
  if (stdin_is_terminal() && stderr_is_terminal()) {
    std::setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
    auto editor = std::make_unique<TerminalLines>();
    if (editor->usable()) return editor;
  }
  return std::make_unique<PlainLines>();
}

}  // namespace maestrale::app
