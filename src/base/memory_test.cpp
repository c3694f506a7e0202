#include "base/memory.h"

#include <gtest/gtest.h>

#include <limits>

namespace maestrale {
namespace {

TEST(HugeBuffer, GivesZeroedMemoryAndRefusesTheImpossible) {
  const HugeBuffer buffer = std::move(HugeBuffer::allocate(5000)).value();
  ASSERT_GE(buffer.size(), 5000u);
  for (std::size_t i = 0; i < 5000; ++i) ASSERT_EQ(buffer.data()[i], std::byte{0});
  EXPECT_EQ(HugeBuffer::allocate(std::numeric_limits<std::size_t>::max() - 5).error().kind,
            ErrorKind::kResource);
  EXPECT_EQ(std::move(HugeBuffer::allocate(0)).value().data(), nullptr);
}

TEST(HugeBuffer, PopulatingTakesThePagesAtOnce) {
  constexpr std::size_t kBytes = std::size_t{32} << 20;
  const HugeBuffer buffer = std::move(HugeBuffer::allocate(kBytes)).value();
  const std::uint64_t before = resident_bytes();
  ASSERT_TRUE(buffer.populate().ok());
  EXPECT_GE(resident_bytes(), before + kBytes / 10 * 9);
  EXPECT_TRUE(HugeBuffer().populate().ok());
}

TEST(Memory, KnowsWhatThereIs) {
  EXPECT_GT(available_memory(), 1u << 20);
  EXPECT_GE(peak_resident_bytes(), resident_bytes());
  EXPECT_GT(resident_bytes(), 0u);
}

}  // namespace
}  // namespace maestrale
