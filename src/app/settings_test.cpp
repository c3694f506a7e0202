#include "app/settings.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "app/options.h"
#include "base/file.h"

namespace maestrale::app {
namespace {

class SettingsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "settings-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    for (const char* variable : {"MAESTRALE_PORT", "MAESTRALE_ADD_HOST", "MAESTRALE_LOG", "MAESTRALE_PROT",
                                 "MAESTRALE_CONFIG", "MAESTRALE_MODELS"})
      ::unsetenv(variable);
  }
  void TearDown() override {
    SetUp();  // clears the variables
    std::filesystem::remove_all(folder_);
  }
  Result<std::vector<Setting>> apply(std::vector<std::string> flags, const std::string& toml) {
    app_ = std::make_unique<CLI::App>("test", "test");
    models_ = {};
    hosts_ = {};
    port_ = 8080;
    log_ = false;
    app_->add_option("MODEL", models_, "model files");
    add_integer(*app_, "-p,--port", port_, 1, 65535, "port (default: 8080)");
    add_parsed(
        *app_, "--add-host", "TEXT",
        [this](const std::string& text) -> Status {
          hosts_.push_back(text);
          return {};
        },
        "names")
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    app_->add_flag("--log", log_, "log");
    std::reverse(flags.begin(), flags.end());
    app_->parse(flags);
    EXPECT_TRUE(write_file(file_name(), toml).ok());
    return apply_settings(*app_, toml.empty() ? "" : file_name().string());
  }
  Error refused(const std::string& toml) {
    const auto settings = apply({}, toml);
    EXPECT_FALSE(settings.ok()) << toml;
    return settings.ok() ? Error{} : settings.error();
  }
  std::filesystem::path file_name() const { return folder_ / "a.toml"; }

  std::filesystem::path folder_;
  std::unique_ptr<CLI::App> app_;
  std::vector<std::string> models_, hosts_;
  std::int64_t port_ = 0;
  bool log_ = false;
};

TEST_F(SettingsTest, AFlagBeatsAVariableBeatsTheFileBeatsTheDefault) {
  EXPECT_TRUE(apply({}, "").ok());
  EXPECT_EQ(port_, 8080);
  EXPECT_TRUE(apply({}, "port = 1").ok());
  EXPECT_EQ(port_, 1);
  ::setenv("MAESTRALE_PORT", "2", 1);
  EXPECT_TRUE(apply({}, "port = 1").ok());
  EXPECT_EQ(port_, 2);
  const auto settings = apply({"--port", "3"}, "port = 1");
  ASSERT_TRUE(settings.ok()) << settings.error().render();
  EXPECT_EQ(port_, 3);
  EXPECT_EQ(settings->at(1).name, "port");
  EXPECT_EQ(settings->at(1).source, "command line");
}

TEST_F(SettingsTest, ListsFlagsAndModels) {
  auto settings = apply({}, "models = [\"a.gguf\", \"b.gguf\"]\nadd-host = \"one\"\nlog = true\n");
  ASSERT_TRUE(settings.ok()) << settings.error().render();
  EXPECT_EQ(models_, (std::vector<std::string>{"a.gguf", "b.gguf"}));
  EXPECT_EQ(hosts_, std::vector<std::string>{"one"});
  EXPECT_TRUE(log_);
  const std::string text = render_settings(*settings);
  EXPECT_NE(text.find("models = [\"a.gguf\", \"b.gguf\"]"), std::string::npos) << text;
  EXPECT_NE(text.find("a.toml:3"), std::string::npos) << text;
  EXPECT_NE(text.find("# port = 8080\n"), std::string::npos) << text;
  ::setenv("MAESTRALE_ADD_HOST", "one,two", 1);
  ::setenv("MAESTRALE_LOG", "false", 1);
  EXPECT_TRUE(apply({}, "log = true").ok());
  EXPECT_EQ(hosts_, (std::vector<std::string>{"one", "two"}));
  EXPECT_FALSE(log_);
  ::setenv("MAESTRALE_CONFIG", file_name().c_str(), 1);
  EXPECT_TRUE(apply({"m.gguf"}, "").ok());
  EXPECT_EQ(models_, std::vector<std::string>{"m.gguf"});
}

TEST_F(SettingsTest, MistakesAreNamed) {
  const Error unknown = refused("log = true\nprot = 1\n");
  EXPECT_EQ(unknown.what, "there is no setting 'prot'");
  EXPECT_EQ(unknown.hint, "the nearest is 'port'");
  EXPECT_EQ(unknown.where, file_name().string() + ":2");
  EXPECT_EQ(refused("add_host = 'x'").hint, "the nearest is 'add-host'");
  EXPECT_NE(refused("port = 99999").what.find("1 to 65535"), std::string::npos);
  EXPECT_NE(refused("port = 0x10000000000000000").what.find("not TOML"), std::string::npos);
  EXPECT_NE(refused("port = \n").what.find("not TOML"), std::string::npos);
  EXPECT_EQ(refused("port = [1, 2]").found, "a list");
  EXPECT_EQ(refused("port = true").expected, "a value");
  EXPECT_EQ(refused("log = 1").expected, "true or false");
  EXPECT_EQ(refused("port = 2027-01-01").found, "a date");
  EXPECT_EQ(refused("[server]\nport = 1").what, "there is no setting 'server'");
  EXPECT_EQ(refused("[port]\nport = 1").found, "a table");
  ::setenv("MAESTRALE_PROT", "1", 1);
  EXPECT_EQ(refused("log = true").hint, "the nearest is MAESTRALE_PORT");
  ::unsetenv("MAESTRALE_PROT");
  ::setenv("MAESTRALE_PORT", "x", 1);
  EXPECT_EQ(refused("log = true").where, "MAESTRALE_PORT");
  ::unsetenv("MAESTRALE_PORT");
  ::setenv("MAESTRALE_CONFIG", "/no/such/file.toml", 1);
  EXPECT_EQ(apply({}, "").error().kind, ErrorKind::kNotFound);
}

TEST(Settings, EditDistance) {
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("port", "port"), 0u);
}

}  // namespace
}  // namespace maestrale::app
