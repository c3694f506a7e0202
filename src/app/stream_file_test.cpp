#include "app/stream_file.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"

namespace maestrale::app {
namespace {

TEST(StreamFile, AppearsWholeOrNotAtAll) {
  const std::string path = testing::TempDir() + "/stream_file_test.bin";
  std::filesystem::remove(path);
  {
    StreamFile abandoned = StreamFile::create(path).value();
    ASSERT_TRUE(abandoned.write("half").ok());
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
  StreamFile file = StreamFile::create(path).value();
  ASSERT_TRUE(file.write("one ").ok());
  ASSERT_TRUE(file.write("two").ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE(file.commit().ok());
  EXPECT_EQ(read_file(path, 100).value(), "one two");
  std::filesystem::remove(path);
}

TEST(StreamFile, DevicesAreWrittenInPlace) {
  StreamFile null = StreamFile::create("/dev/null").value();
  ASSERT_TRUE(null.write("gone").ok());
  ASSERT_TRUE(null.commit().ok());
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  StreamFile full = StreamFile::create("/dev/full").value();
  EXPECT_FALSE(full.write("no room").ok());
  EXPECT_FALSE(StreamFile::create("/nonexistent/folder/file").ok());
}

}  // namespace
}  // namespace maestrale::app
