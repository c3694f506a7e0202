#include "grammar/key_tracker.h"

namespace maestrale::grammar {

bool KeyTracker::run(std::string_view bytes, bool take_back) {
  const Scan scan = scan_;
  const std::string key = scan.in_key ? key_ : std::string();
  undo_.clear();
  bool unique = true;
  for (const char byte : bytes) {
    unique = step(byte);
    if (!unique) break;
  }
  if (!unique || take_back) {
    undo();
    scan_ = scan;
    key_ = key;
  }
  return unique;
}

bool KeyTracker::step(char byte) {
  if (!scan_.in_string) {
    outside(byte);
    return true;
  }
  if (byte == '"' && !scan_.escaped) return end_string();
  if (scan_.in_key) key_ += byte;
  scan_.escaped = byte == '\\' && !scan_.escaped;
  return true;
}

bool KeyTracker::end_string() {
  scan_.in_string = false;
  if (!scan_.in_key) return true;
  scan_.in_key = false;
  set_key_next(false);
  if (!scopes_.back().keys.insert(key_).second) return false;
  undo_.push_back({Undo::What::kKey, {}, key_, false});
  return true;
}

void KeyTracker::outside(char byte) {
  switch (byte) {
    case '"':
      scan_ = {true, !scopes_.empty() && scopes_.back().key_next, false};
      key_.clear();
      break;
    case '{':
    case '[':
      scopes_.push_back({byte == '{', byte == '{'});
      undo_.push_back({Undo::What::kPushed});
      break;
    case '}':
    case ']':
      if (scopes_.empty()) break;
      undo_.push_back({Undo::What::kPopped, std::move(scopes_.back())});
      scopes_.pop_back();
      break;
    case ',':
      if (!scopes_.empty() && scopes_.back().object) set_key_next(true);
      break;
    default:
      break;
  }
}

void KeyTracker::set_key_next(bool value) {
  undo_.push_back({Undo::What::kKeyNext, {}, {}, scopes_.back().key_next});
  scopes_.back().key_next = value;
}

void KeyTracker::undo() {
  for (; !undo_.empty(); undo_.pop_back()) {
    Undo& last = undo_.back();
    switch (last.what) {
      case Undo::What::kPushed:
        scopes_.pop_back();
        break;
      case Undo::What::kPopped:
        scopes_.push_back(std::move(last.scope));
        break;
      case Undo::What::kKey:
        scopes_.back().keys.erase(last.key);
        break;
      case Undo::What::kKeyNext:
        scopes_.back().key_next = last.key_next;
        break;
    }
  }
}

}  // namespace maestrale::grammar
