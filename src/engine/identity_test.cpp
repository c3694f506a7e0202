#include "engine/identity.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "engine/low_rank_test_support.h"

namespace maestrale::engine {
namespace {

namespace fs = std::filesystem;

class Identities : public testing::Test {
 protected:
  Identities() {
    folder_ = fs::path(testing::TempDir()) / ("maestrale_identity_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "notes");
  }
  ~Identities() override { fs::remove_all(folder_); }

  Digest of(const std::string& bytes, const std::string& name = "model", const char* key = "theta") {
    const fs::path path = folder_ / name;
    std::ofstream(path, std::ios::binary) << bytes;
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::seconds(++age_));
    return of_file(name, key);
  }
  Digest of_file(const std::string& name, const char* key = "theta") {
    files::Checkpoint checkpoint;
    checkpoint.metadata = {{key, 1}};
    checkpoint.mappings.push_back(std::move(MappedFile::open(folder_ / name)).value());
    return checkpoint_identity(checkpoint, folder_ / "notes").value();
  }
  std::vector<fs::path> notes() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder_ / "notes")) found.push_back(entry.path());
    return found;
  }

  fs::path folder_;
  int age_ = 0;
};

TEST_F(Identities, FollowTheBytesAndTheConfiguration) {
  const Digest first = of("0123456789");
  EXPECT_EQ(of("0123456789"), first);  // written anew
  EXPECT_EQ(of("0123456789", "other"), first);
  EXPECT_NE(of("0123x56789"), first);
  EXPECT_NE(of("01234567890"), first);
  EXPECT_NE(of("0123456789", "model", "epsilon"), first);
  EXPECT_NE(program_identity().value(), first);
}

TEST_F(Identities, NotesAreBelievedWhereTheyCanBeRead) {
  const Digest first = of("0123456789");
  ASSERT_EQ(notes().size(), 1u);
  for (const char* text : {"", "nonsense", "0123456789abcdef0123456789abcdeF"}) {
    std::ofstream(notes()[0]) << text;
    EXPECT_EQ(of_file("model"), first) << text;
  }
  const auto time = fs::last_write_time(folder_ / "model");
  std::ofstream(folder_ / "model") << "9876543210";
  fs::last_write_time(folder_ / "model", time);  // nobody could know
  EXPECT_EQ(of_file("model"), first);
  fs::remove(notes()[0]);
  EXPECT_NE(of_file("model"), first);
}

TEST_F(Identities, AdaptersAreTheirNumbers) {
  const TinyAdapter one(1), same(1), other(2), higher(1, 8);
  EXPECT_EQ(adapter_identity(one.adapter), adapter_identity(same.adapter));
  EXPECT_NE(adapter_identity(one.adapter), adapter_identity(other.adapter));
  EXPECT_NE(adapter_identity(one.adapter), adapter_identity(higher.adapter));
  const std::vector<Digest> all{adapter_identity(one.adapter), adapter_identity(other.adapter)};
  const std::vector<Digest> turned{all[1], all[0]};
  const auto text = [](int adapter, float scale, const std::vector<Digest>& of) {
    const ops::AdapterChoice choice{adapter, scale};
    return adapters_text({&choice, 1}, of);
  };
  EXPECT_EQ(text(0, 1, all), text(1, 1, turned));
  EXPECT_NE(text(0, 1, all), text(0, 1, turned));
  EXPECT_NE(text(0, 1, all), text(0, 1.5f, all));
}

TEST(Digests, AreReadBack) {
  const Digest digest = digest_of("page");
  EXPECT_EQ(digest_from_hex(digest.hex()), digest);
  EXPECT_EQ(digest_from_hex(Digest{1, 0}.hex()), (Digest{1, 0}));
  for (const char* text : {"", "1", "0x000000000000000000000000000001", "0000000000000000000000000000000G",
                           "-0000000000000000000000000000001"})
    EXPECT_FALSE(digest_from_hex(text).has_value()) << text;
}

}  // namespace
}  // namespace maestrale::engine
