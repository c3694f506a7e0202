// Which keys the objects that are open in a JSON text already have. Fed with bytes of text that is known to
// be the beginning of valid JSON whose free keys have one spelling each; it only has to compare keys.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace maestrale::grammar {

class KeyTracker {
 public:
  // False, and nothing changes, where `bytes` would end a key that its object already has.
  bool push(std::string_view bytes) { return run(bytes, false); }
  // The same answer, and nothing changes in any case.
  bool allows(std::string_view bytes) { return run(bytes, true); }

 private:
  struct Scope {
    bool object = false;
    bool key_next = false;  // the next string is a key
    std::unordered_set<std::string> keys = {};
  };
  struct Scan {
    bool in_string = false, in_key = false, escaped = false;
  };
  struct Undo {
    enum class What : std::uint8_t { kPushed, kPopped, kKey, kKeyNext } what;
    Scope scope = {};      // kPopped
    std::string key = {};  // kKey
    bool key_next = false;
  };
  bool run(std::string_view bytes, bool take_back);
  bool step(char byte);
  bool end_string();
  void outside(char byte);
  void set_key_next(bool value);
  void undo();

  std::vector<Scope> scopes_;
  std::vector<Undo> undo_;
  Scan scan_;
  std::string key_;
};

}  // namespace maestrale::grammar
