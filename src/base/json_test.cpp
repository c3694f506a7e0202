#include "base/json.h"

#include <gtest/gtest.h>

namespace maestrale {
namespace {

TEST(Json, RefusesDeepNestingAndTrailingBytes) {
  EXPECT_FALSE(parse_json(std::string(1000000, '['), "deep").ok());
  EXPECT_FALSE(parse_json("{} x", "trailing").ok());
  EXPECT_FALSE(parse_json("", "empty").ok());
  EXPECT_TRUE(parse_json(" {\"a\": [1, 2]} \n", "fine").ok());
}

TEST(Json, FieldsNameWhatIsWrong) {
  const json::value document =
      parse_json(R"({"n": 3.5, "m": 4.0, "s": "x", "z": null})", "config.json").value();
  const JsonFields fields(document.get_object(), "config.json");
  EXPECT_EQ(fields.integer("m").value(), 4);
  EXPECT_EQ(fields.integer_or("z", 7).value(), 7);
  EXPECT_FALSE(fields.integer("n").ok());
  EXPECT_EQ(fields.integer("q").error().render(),
            "config.json: field 'q' is missing (expected an integer, found nothing)");
}

}  // namespace
}  // namespace maestrale
