#include "serve/query.h"

#include <gtest/gtest.h>

namespace maestrale::serve {
namespace {

TEST(Query, ReadsParameters) {
  Query query = Query::of("a=1&b=two%20words+more&c&&").value();
  EXPECT_EQ(query.integer("a", 0, 9).value(), 1);
  EXPECT_EQ(query.text("b"), "two words more");
  EXPECT_EQ(query.done().error().where, "c");
  EXPECT_EQ(query.text("c"), "");
  EXPECT_TRUE(query.done().ok());
  EXPECT_EQ(query.text("a"), std::nullopt);
}

TEST(Query, SaysWhatIsWrong) {
  EXPECT_FALSE(Query::of("a=%zz").ok());
  EXPECT_EQ(Query::of("a=1&a=2").error().where, "a");
  for (const char* text : {"n=x", "n=", "n=10", "n=1.5", "n=-1"})
    EXPECT_FALSE(Query::of(text)->integer("n", 0, 9).ok()) << text;
  EXPECT_TRUE(Query::of("s=false")->only("s", "false", "no").ok());
  EXPECT_EQ(Query::of("s=true")->only("s", "false", "no").error().where, "s");
}

}  // namespace
}  // namespace maestrale::serve
