#include "app/chat_session.h"

#include <gtest/gtest.h>

namespace maestrale::app {
namespace {

TEST(ChatCommands, AreTakenApart) {
  EXPECT_EQ(split_command("/quit"), (std::pair<std::string, std::string>{"quit", ""}));
  EXPECT_EQ(split_command("  /system  Be brief. "),
            (std::pair<std::string, std::string>{"system", "Be brief."}));
  EXPECT_EQ(split_command("/"), (std::pair<std::string, std::string>{"", ""}));
}

TEST(ChatCommands, SetChangesOneThing) {
  SamplingOptions sampling;
  CommonOptions common;
  EXPECT_TRUE(set_sampling("top_p", "0.9", sampling, common).ok());
  EXPECT_EQ(sampling.top_p, 0.9);
  EXPECT_TRUE(set_sampling("max_tokens", "12", sampling, common).ok());
  EXPECT_EQ(sampling.max_tokens, 12);
  EXPECT_TRUE(set_sampling("seed", "7", sampling, common).ok());
  EXPECT_TRUE(common.seed_given);
}

TEST(ChatCommands, SetRefusesAndKeepsWhatWas) {
  SamplingOptions sampling;
  CommonOptions common;
  sampling.top_p = 0.5;
  for (const char* bad : {"0", "nan", "1.5", "", "x"})
    EXPECT_FALSE(set_sampling("top_p", bad, sampling, common).ok()) << bad;
  EXPECT_EQ(sampling.top_p, 0.5);
  EXPECT_FALSE(set_sampling("colour", "1", sampling, common).ok());
}

}  // namespace
}  // namespace maestrale::app
