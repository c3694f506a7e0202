#include "base/file.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>

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

TEST(File, WhatOthersCutOffReadsAsZerosAndIsSaid) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "maestrale_file_test_cut";
  const std::string text(5 * 4096 + 10, 'x');
  ASSERT_TRUE(write_file(path, text).ok());
  const MappedFile file = std::move(MappedFile::open(path)).value();
  const MappedFile other = std::move(MappedFile::open(path)).value();
  std::filesystem::resize_file(path, 4096);
  const volatile char* bytes = file.text().data();
  EXPECT_EQ(bytes[3 * 4096 + 7], 0);  // SIGBUS, if nobody handled it
  EXPECT_EQ(bytes[5 * 4096 + 9], 0);
  EXPECT_EQ(bytes[4095], 'x');
  std::filesystem::resize_file(path, text.size());
  EXPECT_FALSE(file.check_unchanged().ok());
  EXPECT_EQ(file.check_unchanged().error().kind, ErrorKind::kIo);
  EXPECT_EQ(other.text()[1], 'x');
  std::filesystem::remove(path);
}

TEST(File, AnUnlinkedFileIsUnchangedAndAWrittenOneIsNot) {
  const std::filesystem::path path =
      std::filesystem::path(testing::TempDir()) / "maestrale_file_test_written";
  ASSERT_TRUE(write_file(path, "hello").ok());
  const MappedFile file = std::move(MappedFile::open(path)).value();
  ASSERT_TRUE(write_file(path, "jello").ok());  // a new file in its place
  EXPECT_TRUE(file.check_unchanged().ok());
  EXPECT_EQ(file.text(), "hello");
  const MappedFile second = std::move(MappedFile::open(path)).value();
  const auto later = std::filesystem::last_write_time(path) + std::chrono::seconds(1);
  std::filesystem::last_write_time(path, later);
  EXPECT_EQ(second.check_unchanged().error().found, "written to since");
  std::filesystem::remove(path);
  EXPECT_TRUE(MappedFile().check_unchanged().ok());
}

TEST(File, OtherFaultsStillEndTheProgram) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "maestrale_file_test_fault";
  ASSERT_TRUE(write_file(path, "hello").ok());
  const MappedFile file = std::move(MappedFile::open(path)).value();
  EXPECT_DEATH((void)raise(SIGBUS), "");
  std::filesystem::remove(path);
}

TEST(File, RefusesFoldersAndMissingFiles) {
  EXPECT_EQ(MappedFile::open("/no/such/file").error().kind, ErrorKind::kNotFound);
  EXPECT_FALSE(MappedFile::open(testing::TempDir()).ok());
}

}  // namespace
}  // namespace maestrale
