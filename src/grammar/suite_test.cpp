// The JSON Schema Test Suite (draft 2020-12, required cases) through the validator and through the automata.
// MAESTRALE_JSON_SCHEMA_SUITE names its folder draft2020-12; without it the cases of draft 7 that Debian has
// are tried, as far as they mean the same today.
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <map>

#include <boost/json/serialize.hpp>

#include "base/file.h"
#include "grammar/json_equal.h"
#include "grammar/spell.h"
#include "grammar/test_support.h"
#include "grammar/validate.h"

namespace maestrale::grammar {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSpellingsMax = 400;

// Spellings of a value in all orders of its keys, up to a limit.
std::vector<std::string> spellings(const json::value& value) {
  std::vector<std::string> out{""};
  const auto append = [&](const std::vector<std::string>& parts) {
    std::vector<std::string> longer;
    for (const std::string& begin : out) {
      for (const std::string& part : parts) {
        if (longer.size() < kSpellingsMax) longer.push_back(begin + part);
      }
    }
    out = std::move(longer);
  };
  if (value.is_string()) return {spelled_json(value.get_string())};
  if (value.is_number() && is_integer(value) && std::abs(number_of(value)) < 1e18L) {
    return {std::to_string(static_cast<std::int64_t>(number_of(value)))};
  }
  if (value.is_array()) {
    for (std::size_t i = 0; i < value.get_array().size(); ++i) {
      append({i == 0 ? "[" : ", "});
      append(spellings(value.get_array()[i]));
    }
    append({value.get_array().empty() ? "[]" : "]"});
    return out;
  }
  if (value.is_double()) {
    char text[40];
    return {std::string(text, std::to_chars(text, text + sizeof text, value.get_double()).ptr)};
  }
  if (!value.is_object()) return {json::serialize(value)};
  std::vector<std::string> keys, all;
  for (const auto& member : value.get_object()) keys.emplace_back(member.key());
  std::sort(keys.begin(), keys.end());
  do {
    out = {"{"};
    for (std::size_t i = 0; i < keys.size(); ++i) {
      append({(i == 0 ? "" : ", ") + spelled_json(keys[i]) + ": "});
      append(spellings(value.get_object().at(keys[i])));
    }
    append({"}"});
    all.insert(all.end(), out.begin(), out.end());
  } while (std::next_permutation(keys.begin(), keys.end()) && all.size() < kSpellingsMax);
  return all;
}

constexpr const char* kDebianSuite = "/usr/share/json-schema-test-suite/tests/draft7";

class SuiteTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* asked = std::getenv("MAESTRALE_JSON_SCHEMA_SUITE");
    const fs::path folder = asked == nullptr ? kDebianSuite : asked;
    if (!fs::is_directory(folder))
      GTEST_SKIP() << folder << " is not there: install json-schema-test-suite or set "
                   << "MAESTRALE_JSON_SCHEMA_SUITE";
    old_draft = folder.filename() != "draft2020-12";
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() == ".json") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    ASSERT_FALSE(files.empty());
  }

  // `each` gets the file's name without its ending, the group and its schema.
  template <class Each>
  void for_each_group(Each each) {
    for (const fs::path& path : files) {
      const auto text = read_file(path.string(), 1 << 24);
      ASSERT_TRUE(text);
      const auto groups = parse_json(*text, path.string(), 100);
      ASSERT_TRUE(groups) << groups.error().render();
      for (const json::value& value : groups->get_array()) {
        const json::object& group = value.get_object();
        if (!old_draft || !means_otherwise(group)) each(path.stem().string(), group);
      }
    }
  }
  // Of draft 7: what has another name or another meaning since.
  static bool means_otherwise(const json::object& group) {
    const bool overrides = group.at("description").get_string().starts_with("ref overrides");
    return overrides || uses_old_words(group.at("schema"));
  }
  static bool uses_old_words(const json::value& schema) {
    if (const json::array* list = schema.if_array())
      return std::any_of(list->begin(), list->end(), uses_old_words);
    const json::object* object = schema.if_object();
    if (object == nullptr) return false;
    if (object->contains("additionalItems") || object->contains("dependencies")) return true;
    if (const json::value* items = object->if_contains("items"); items != nullptr && items->is_array())
      return true;
    return std::any_of(object->begin(), object->end(),
                       [](const auto& member) { return uses_old_words(member.value()); });
  }

  std::vector<fs::path> files;
  bool old_draft = false;
};

std::string name_of(const json::object& group, const json::object& test) {
  return std::string(group.at("description").get_string()) + " / " +
         std::string(test.at("description").get_string());
}

TEST_F(SuiteTest, Validator) {
  int right = 0, refused = 0;
  for_each_group([&](const std::string& file, const json::object& group) {
    const auto validator = Validator::make(group.at("schema"));
    for (const json::value& entry : group.at("tests").get_array()) {
      const json::object& test = entry.get_object();
      if (!validator) {
        EXPECT_EQ(validator.error().kind, ErrorKind::kUnsupported)
            << file << ": " << validator.error().render();
        ++refused;
        continue;
      }
      const Status valid = validator->validate(test.at("data"));
      EXPECT_EQ(valid.ok(), test.at("valid").get_bool())
          << file << ": " << name_of(group, test) << (valid ? "" : ": " + valid.error().render());
      ++right;
    }
  });
  std::printf("validator: %d cases, %d refused (references out of the document)\n", right, refused);
  EXPECT_GT(right, old_draft ? 300 : 1000);
}

TEST_F(SuiteTest, Grammar) {
  const auto tokenizer = test_tokenizer();
  const auto tokens = make_token_table(*tokenizer);
  int accepted = 0, rejected = 0;
  std::map<std::string, int> refusals, missed;
  for_each_group([&](const std::string& file, const json::object& group) {
    const auto grammar = compile_json_schema(group.at("schema"), {}, "s");
    if (!grammar) {
      const ErrorKind kind = grammar.error().kind;
      const bool nothing = grammar.error().what == "no text at all can match";
      EXPECT_TRUE(kind == ErrorKind::kUnsupported || nothing) << file << ": " << grammar.error().render();
      if (!nothing) ++refusals[file];
      if (!nothing) return;
    }
    for (const json::value& entry : group.at("tests").get_array()) {
      const json::object& test = entry.get_object();
      const auto texts = spellings(test.at("data"));
      const bool takes = grammar && std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
                           return accepts(*grammar, tokens, text);
                         });
      const bool valid = test.at("valid").get_bool();
      EXPECT_TRUE(valid || !takes) << file << ": " << name_of(group, test);
      if (takes == valid) ++(takes ? accepted : rejected);
      if (valid && !takes) {
        ++missed[file];
        // Formats are an annotation by default; here they are kept.
        EXPECT_EQ(file, "format") << name_of(group, test) << ": " << texts[0];
      }
    }
  });
  std::printf("grammar: %d accepted, %d rejected\n", accepted, rejected);
  for (const auto& [file, count] : refusals) std::printf("  refused schemas: %s %d\n", file.c_str(), count);
  for (const auto& [file, count] : missed) std::printf("  valid, not accepted: %s %d\n", file.c_str(), count);
}

}  // namespace
}  // namespace maestrale::grammar
