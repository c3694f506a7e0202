#include "engine/packed_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <vector>

#include "kernels/panels.h"

namespace maestrale::engine {
namespace {

class Packed : public testing::Test {
 protected:
  Packed() {
    path_ = std::filesystem::path(testing::TempDir()) / "maestrale_packed_test";
    for (std::size_t i = 0; i < weights_.size(); ++i) weights_[i] = static_cast<std::byte>(i * 7);
    const Status written = write_packed(path_, identity_, weights_);
    EXPECT_TRUE(written.ok());
  }
  // `change` overwritten in the file at `offset`.
  Error refusal_after(std::size_t offset, std::uint32_t change) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(reinterpret_cast<const char*>(&change), sizeof(change));
    file.close();
    return refusal(identity_);
  }
  Error refusal(const PackedIdentity& expected) {
    const auto opened = PackedFile::open(path_, "model.gguf", expected);
    EXPECT_FALSE(opened.ok());
    return opened.ok() ? Error{} : opened.error();
  }
  std::filesystem::path path_;
  std::vector<std::byte> weights_ = std::vector<std::byte>(10000);
  PackedIdentity identity_{.source = 5, .order = 6, .bytes = 10000};
};

TEST_F(Packed, ComesBack) {
  const auto opened = PackedFile::open(path_, "model.gguf", identity_);
  ASSERT_TRUE(opened.ok()) << opened.error().render();
  ASSERT_EQ(opened->weights().size(), weights_.size());
  EXPECT_EQ(std::memcmp(opened->weights().data(), weights_.data(), weights_.size()), 0);
  EXPECT_TRUE(opened->check_order(6).ok());
  const Status other = opened->check_order(7);
  ASSERT_FALSE(other.ok());
  EXPECT_NE(other.error().render().find("another version"), std::string::npos);
}

TEST_F(Packed, OfAnotherVersionNamesTheCommand) {
  const std::string text = refusal_after(16, kernels::kPanelVersion + 1).render();
  EXPECT_NE(text.find("another version"), std::string::npos) << text;
  EXPECT_NE(text.find("maestrale repack model.gguf --out " + path_.string()), std::string::npos) << text;
}

TEST_F(Packed, RefusesWhatIsNotIt) {
  EXPECT_NE(refusal({.source = 4, .bytes = 10000}).render().find("another model"), std::string::npos);
  EXPECT_NE(refusal({.source = 5, .bytes = 10000, .float_arithmetic = true}).render().find("arithmetic"),
            std::string::npos);
  EXPECT_NE(refusal({.source = 5, .bytes = 9999}).render().find("another size"), std::string::npos);
  std::filesystem::resize_file(path_, 4096 + 9000);
  EXPECT_NE(refusal(identity_).render().find("another size"), std::string::npos);
  std::filesystem::resize_file(path_, 100);
  EXPECT_NE(refusal(identity_).render().find("not a file of packed weights"), std::string::npos);
}

}  // namespace
}  // namespace maestrale::engine
