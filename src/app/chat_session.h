// A conversation going on: turns, and the /commands between them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/conversation.h"
#include "app/generation.h"
#include "app/options.h"
#include "engine/engine.h"

namespace maestrale::app {

class ChatSession {
 public:
  static Result<ChatSession> create(engine::Engine& engine, const SamplingOptions& sampling,
                                    const CommonOptions& common, const std::string& template_file);

  // Answers one message. After an error the message is taken back; an interrupted answer stays.
  Status say(const std::string& text);
  // Runs a line that starts with '/'. False: leave.
  Result<bool> command(const std::string& line);
  Conversation& conversation() { return conversation_; }

 private:
  ChatSession(engine::Engine& engine, const SamplingOptions& sampling, const CommonOptions& common,
              Conversation conversation)
      : engine_(&engine), sampling_(sampling), common_(common), conversation_(std::move(conversation)) {}

  Status answer();
  Result<std::string> retry();
  Status set(std::string_view argument);
  Status save(const std::string& path) const;
  Status load(const std::string& path);
  void show() const;

  engine::Engine* engine_;
  SamplingOptions sampling_;
  CommonOptions common_;
  Conversation conversation_;
  int sequence_ = -1;
  std::vector<text::TokenId> cached_;  // tokens whose keys and values the sequence certainly holds
};

// "/name rest of the line" taken apart; name without the slash.
std::pair<std::string, std::string> split_command(std::string_view line);
// Sets one sampling option by its name, as /set does: "top_p", "0.9".
Status set_sampling(std::string_view name, std::string_view value, SamplingOptions& sampling,
                    CommonOptions& common);

}  // namespace maestrale::app
