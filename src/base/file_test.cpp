#include "base/file.h"

#include <gtest/gtest.h>

namespace maestrale {
namespace {

TEST(File, WritesMapsAndReads) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "maestrale_file_test";
  ASSERT_TRUE(write_file(path, "hello").ok());
  EXPECT_EQ(read_file(path, 100).value(), "hello");
  EXPECT_EQ(read_file(path, 4).error().kind, ErrorKind::kResource);
  const MappedFile file = std::move(MappedFile::open(path)).value();
  EXPECT_EQ(file.text(), "hello");
  EXPECT_TRUE(file.check_unchanged().ok());
  std::filesystem::resize_file(path, 2);
  EXPECT_FALSE(file.check_unchanged().ok());
  std::filesystem::remove(path);
}

TEST(File, RefusesFoldersAndMissingFiles) {
  EXPECT_EQ(MappedFile::open("/no/such/file").error().kind, ErrorKind::kNotFound);
  EXPECT_FALSE(MappedFile::open(testing::TempDir()).ok());
}

}  // namespace
}  // namespace maestrale
