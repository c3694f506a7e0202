#include "kernels/dispatch.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace maestrale::kernels {
namespace {

TEST(Dispatch, RefIsAlwaysThere) {
  ASSERT_FALSE(usable_tables().empty());
  EXPECT_STREQ(usable_tables().front()->name, "ref");
  EXPECT_EQ(kernel_table("ref"), usable_tables().front());
  EXPECT_EQ(kernel_table("sse9"), nullptr);
}

TEST(Dispatch, TheEnvironmentNamesATable) {
  unsetenv("MAESTRALE_ISA");
  ASSERT_TRUE(default_table().ok());
  EXPECT_EQ(*default_table(), usable_tables().back());
  for (const KernelTable* table : usable_tables()) {
    setenv("MAESTRALE_ISA", table->name, 1);
    ASSERT_TRUE(default_table().ok());
    EXPECT_EQ(*default_table(), table);
  }
  setenv("MAESTRALE_ISA", "neon", 1);
  ASSERT_FALSE(default_table().ok());
  EXPECT_NE(default_table().error().render().find("ref"), std::string::npos);
  unsetenv("MAESTRALE_ISA");
}

}  // namespace
}  // namespace maestrale::kernels
