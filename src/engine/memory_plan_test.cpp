#include "engine/memory_plan.h"

#include <gtest/gtest.h>

namespace maestrale::engine {
namespace {

MemoryPlan plan() {
  return {.weights = 3'860'000'000,
          .kv_cache = 540'000'000,
          .workspace = 110'000'000,
          .base = 20'000'000,
          .context = 4096,
          .sequences = 1,
          .kv_pages = 64,
          .kv_type = "f16",
          .kv_bytes_per_token = 131072};
}

TEST(MemoryPlan, IsRenderedInOneLine) {
  EXPECT_EQ(plan().render(),
            "weights 3.86 GB + KV 540.0 MB (4096 × 1, f16) + workspace 110.0 MB + base 20.0 MB = 4.53 GB");
  EXPECT_EQ(human_bytes(1500), "1.5 kB");
  MemoryPlan shared = plan();
  shared.sequences = 16;
  shared.kv_pages = 100;
  EXPECT_NE(shared.render().find("KV 540.0 MB (6400 tokens for 4096 × 16, f16)"), std::string::npos);
}

TEST(MemoryPlan, ARefusalNamesTheWaysOut) {
  EXPECT_TRUE(plan().check(plan().total()).ok());
  const Status status = plan().check(4'121'072'000);  // 131072000 left for the cache: 1000 tokens
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kResource);
  EXPECT_NE(status.error().hint.find("--context (at most 1000 fits)"), std::string::npos)
      << status.error().hint;
  EXPECT_NE(status.error().hint.find("--kv-type"), std::string::npos);
  EXPECT_EQ(plan().check(1000).error().hint.find("at most"), std::string::npos);
}

}  // namespace
}  // namespace maestrale::engine
