// The command line as a script sees it: each test forks, runs one command, and looks at what came out.
#include "app/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/json.h"

namespace maestrale::app {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct Outcome {
  int code = -1;
  std::string out, err;
};

std::string read_all(int descriptor) {
  std::string text;
  std::array<char, 4096> buffer;
  for (ssize_t got = 0; (got = ::read(descriptor, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ::close(descriptor);
  return text;
}

struct Pipes {
  std::array<int, 2> in{}, out{}, err{};
};

[[noreturn]] void run_child(const Pipes& pipes, std::vector<std::string>& arguments) {
  ::dup2(pipes.in[0], STDIN_FILENO);
  ::dup2(pipes.out[1], STDOUT_FILENO);
  ::dup2(pipes.err[1], STDERR_FILENO);
  for (const auto& pipe : {pipes.in, pipes.out, pipes.err}) {
    ::close(pipe[0]);
    ::close(pipe[1]);
  }
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::_exit(run_program(static_cast<int>(arguments.size()), argv.data()));
}

Outcome maestrale(std::vector<std::string> arguments, const std::string& input = "") {
  arguments.insert(arguments.begin(), "maestrale");
  Pipes pipes;
  EXPECT_EQ(::pipe(pipes.in.data()) + ::pipe(pipes.out.data()) + ::pipe(pipes.err.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) run_child(pipes, arguments);
  ::close(pipes.in[0]);
  ::close(pipes.out[1]);
  ::close(pipes.err[1]);
  Outcome outcome;
  std::thread errors([&] { outcome.err = read_all(pipes.err[0]); });
  std::thread feeder([&] {
    const ssize_t written = ::write(pipes.in[1], input.data(), input.size());
    EXPECT_EQ(written, static_cast<ssize_t>(input.size()));
    ::close(pipes.in[1]);
  });
  outcome.out = read_all(pipes.out[0]);
  feeder.join();
  errors.join();
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << outcome.err;
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

json::object object_of(const Outcome& outcome) {
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  auto value = parse_json(outcome.out, "standard output");
  EXPECT_TRUE(value.ok()) << outcome.out;
  return value.ok() && value->is_object() ? value->get_object() : json::object();
}

class WithModel : public testing::Test {
 protected:
  void SetUp() override {
    const char* shared = std::getenv("MAESTRALE_SHARED");
    const std::filesystem::path root = shared == nullptr || *shared == '\0' ? "../shared" : shared;
    model_ = (root / "data/models/stories260K.gguf").string();
    if (!std::filesystem::exists(model_)) GTEST_SKIP() << "no " << model_;
  }

  std::string model_;
};

TEST(Program, HelpAndVersionAreFine) {
  EXPECT_EQ(maestrale({"--help"}).code, 0);
  EXPECT_THAT(maestrale({"--help"}).out, HasSubstr("perplexity"));
  EXPECT_THAT(maestrale({"--version"}).out, StartsWith("maestrale "));
  for (const char* command : {"generate", "run", "chat", "bench", "inspect", "tokenize", "detokenize",
                              "template", "perplexity", "logits", "quantize", "convert"}) {
    const Outcome help = maestrale({command, "--help"});
    EXPECT_EQ(help.code, 0) << command;
    EXPECT_THAT(help.out, HasSubstr("Example")) << command;
    EXPECT_EQ(help.err, "") << command;
  }
}

TEST(Program, WrongUsageIsTwo) {
  const std::vector<std::vector<std::string>> cases = {
      {},
      {"frobnicate"},
      {"generate"},
      {"generate", "m.gguf"},
      {"generate", "m.gguf", "--prompt", "a", "--prompt-file", "b"},
      {"generate", "m.gguf", "--prompt", "a", "--threads", "0"},
      {"generate", "m.gguf", "--prompt", "a", "--threads", "two"},
      {"generate", "m.gguf", "--prompt", "a", "--max-tokens", "-1"},
      {"generate", "m.gguf", "--prompt", "a", "--temperature", "nan"},
      {"generate", "m.gguf", "--prompt", "a", "--temperature", "-1"},
      {"generate", "m.gguf", "--prompt", "a", "--top-p", "0"},
      {"generate", "m.gguf", "--prompt", "a", "--seed", "-1"},
      {"generate", "m.gguf", "--prompt", "a", "--memory", "lots"},
      {"generate", "m.gguf", "--prompt", "a", "--logit-bias", "x"},
      {"generate", "m.gguf", "--prompt", "a", "--unknown"},
      {"logits", "m.gguf", "--tokens", "1,,2", "--output", "x"},
      {"logits", "m.gguf", "--tokens", "1"},
      {"inspect"},
      {"bench"},
      {"convert", "a", "b", "--format", "zip"},
      {"convert", "a"},
      {"convert", "a", "b", "--preset", "qwen3-0.6b"},
  };
  for (const auto& arguments : cases) {
    const Outcome outcome = maestrale(arguments);
    EXPECT_EQ(outcome.code, 2) << testing::PrintToString(arguments) << outcome.err;
    EXPECT_THAT(outcome.err, StartsWith("maestrale: ")) << testing::PrintToString(arguments);
    EXPECT_EQ(outcome.out, "") << testing::PrintToString(arguments);
  }
}

TEST(Program, AMissingFileIsOne) {
  for (const char* command : {"generate", "inspect", "tokenize", "bench"}) {
    std::vector<std::string> arguments = {command, "no/such/model.gguf"};
    if (std::string(command) == "generate") arguments.insert(arguments.end(), {"--prompt", "a"});
    const Outcome outcome = maestrale(arguments);
    EXPECT_EQ(outcome.code, 1) << command << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("no/such/model.gguf")) << command;
  }
}

TEST(Program, TemplatesRender) {
  const std::string file = testing::TempDir() + "/program_test.jinja";
  ASSERT_TRUE(
      write_file(file, "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{{ bos_token }}")
          .ok());
  const Outcome outcome =
      maestrale({"template", file, "--input", "-"}, R"([{"role": "user", "content": "hi"}])");
  EXPECT_EQ(outcome.out, "<user>hi");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(maestrale({"template", file, "--input", "-"}, "{").code, 1);
  EXPECT_EQ(maestrale({"template", file, "--input", "no/such.json"}).code, 1);
  ASSERT_TRUE(write_file(file, "{{ raise_exception('roles must alternate') }}").ok());
  const Outcome refused = maestrale({"template", file, "--input", "-"}, "[]");
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("roles must alternate"));
  std::filesystem::remove(file);
}

TEST_F(WithModel, TellsTheKnownStory) {
  const Outcome outcome = maestrale(
      {"generate", model_, "--prompt", "Once upon a time", "--temperature", "0", "-n", "60", "--quiet"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              StartsWith(", there was a little girl named Lily. She loved to play outside in the park."));
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(outcome.out.back(), '\n');
}

TEST_F(WithModel, GenerateAsJson) {
  const json::object found =
      object_of(maestrale({"generate", model_, "--prompt", "Once upon a time", "--temperature", "0", "-n",
                           "5", "--logprobs", "2", "--json", "--quiet"}));
  EXPECT_EQ(found.at("tokens").as_array().size(), 5u);
  EXPECT_EQ(found.at("finish_reason"), "length");
  ASSERT_EQ(found.at("logprobs").as_array().size(), 5u);
  EXPECT_EQ(found.at("logprobs").as_array()[0].at("top").as_array().size(), 2u);
}

TEST_F(WithModel, TheSameSeedGivesTheSameText) {
  const std::vector<std::string> arguments = {"generate", model_,   "-p", "Once", "-n",
                                              "20",       "--seed", "5",  "-q"};
  const Outcome first = maestrale(arguments);
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(maestrale(arguments).out, first.out);
}

TEST_F(WithModel, StopStringsAreNotShown) {
  const Outcome outcome = maestrale({"generate", model_, "-p", "Once upon a time", "--temperature", "0",
                                     "--stop", " girl", "--stop", "[x]", "-q"});
  EXPECT_EQ(outcome.out, ", there was a little\n");
}

TEST_F(WithModel, LongPromptsAreRefusedWithBothNumbers) {
  const Outcome outcome =
      maestrale({"generate", model_, "-p", "Once upon a time there was a girl", "--context", "4"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("longer than the context"));
  EXPECT_THAT(outcome.err, HasSubstr("at most 4 tokens"));
}

TEST_F(WithModel, TokensThereAndBack) {
  const Outcome ids = maestrale({"tokenize", model_}, "Lily's ball");
  EXPECT_EQ(ids.code, 0) << ids.err;
  EXPECT_THAT(ids.out, StartsWith("["));
  const Outcome text = maestrale({"detokenize", model_}, ids.out);
  EXPECT_EQ(text.out, "Lily's ball");
  const json::object found = object_of(maestrale({"tokenize", model_, "--json", "--add-special"}, "Lily"));
  EXPECT_EQ(found.at("tokens").as_array()[0], 1);
  EXPECT_EQ(maestrale({"detokenize", model_}, "[512]").code, 1);
  EXPECT_EQ(maestrale({"detokenize", model_}, "[1.5]").code, 1);
  EXPECT_EQ(maestrale({"detokenize", model_}, "nonsense").code, 1);
}

TEST_F(WithModel, LogitsGoToAFile) {
  const std::string file = testing::TempDir() + "/program_test.f32";
  const Outcome outcome = maestrale({"logits", model_, "--tokens", "1,403,407", "--output", file, "-q"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(std::filesystem::file_size(file), 3u * 512u * 4u);
  std::filesystem::remove(file);
  EXPECT_EQ(maestrale({"logits", model_, "--tokens", "512", "--output", file}).code, 1);
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST_F(WithModel, InspectAndPerplexityAsJson) {
  const json::object model = object_of(maestrale({"inspect", model_, "--json", "--tensors"}));
  EXPECT_EQ(model.at("architecture"), "llama");
  EXPECT_GT(model.at("parameters_total").to_number<std::int64_t>(), 200000);
  EXPECT_FALSE(model.at("memory").as_array().empty());
  EXPECT_THAT(maestrale({"inspect", model_}).out, HasSubstr("llama"));
  const std::string story =
      "Once upon a time, there was a little girl named Lily. She loved to play outside.";
  const json::object score =
      object_of(maestrale({"perplexity", model_, "--file", "-", "--json", "-q"}, story));
  EXPECT_GT(score.at("perplexity").to_number<double>(), 1.0);
  EXPECT_LT(score.at("perplexity").to_number<double>(), 5.0);
}

TEST_F(WithModel, ChatReadsLinesWithoutATerminal) {
  const std::string file = testing::TempDir() + "/program_test_chat.jinja";
  ASSERT_TRUE(write_file(file, "{{ bos_token }}{% for m in messages %}{{ m.content }} {% endfor %}").ok());
  const std::vector<std::string> arguments = {"chat", model_, "--template", file, "--temperature",
                                              "0",    "-n",   "8",          "-q"};
  const Outcome outcome = maestrale(arguments, "Once upon a time\n/set top_p 0.5\nThe end\n");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 2) << outcome.out;
  EXPECT_EQ(maestrale(arguments, "/nonsense\n").code, 2);
  EXPECT_EQ(maestrale({"run", model_, "Once upon a time", "--template", file, "-n", "4", "-q"}).code, 0);
  EXPECT_EQ(maestrale({"run", model_, "Hello"}).code, 1);  // the model has no template of its own
  std::filesystem::remove(file);
}

TEST_F(WithModel, BenchReportsWhatTheContractSays) {
  const json::object found =
      object_of(maestrale({"bench", model_, "--prefill-tokens", "8", "--decode-tokens", "2", "--depth", "0,4",
                           "--sequences", "1,2", "--repetitions", "1", "--json", "-q"}));
  for (const char* key : {"model", "threads", "isa", "peak_int8_gops", "read_gbps", "load_s", "first_token_s",
                          "rss_bytes", "prefill", "decode"}) {
    EXPECT_TRUE(found.contains(key)) << key;
  }
  EXPECT_EQ(found.at("prefill").as_array().size(), 2u);
  EXPECT_EQ(found.at("decode").as_array().size(), 4u);
}

TEST_F(WithModel, LostOutputIsAnError) {
  std::vector<std::string> arguments = {"logits", model_, "--tokens", "1", "--output", "/dev/full", "-q"};
  const Outcome outcome = maestrale(arguments);
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("/dev/full"));
}

}  // namespace
}  // namespace maestrale::app
