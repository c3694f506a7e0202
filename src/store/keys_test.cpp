#include "store/keys.h"

#include "store/test_support.h"

namespace maestrale::store {
namespace {

StoredKey alice() {
  return {.name = "alice",
          .prefix = "mst_abcd",
          .digest = std::string("\0\x01\xff", 3),
          .scopes = {"generate", "embed"},
          .weight = 2.5,
          .limits = {.requests_per_minute = 60, .tokens_per_minute = {}, .tokens_per_day = 100000},
          .created_s = 1000,
          .expires_s = 2000};
}

TEST(Keys, AreKeptAsTheyWereGiven) {
  const Scratch folder;
  auto store = open_or_fail(folder / "s.db");
  ASSERT_EQ(add_key(*store, alice()).value(), 1);
  const auto keys = list_keys(*store);
  ASSERT_TRUE(keys.ok()) << keys.error().render();
  ASSERT_EQ(keys->size(), 1u);
  const StoredKey& key = keys->front();
  const StoredKey given = alice();
  EXPECT_EQ(key.name, given.name);
  EXPECT_EQ(key.prefix, given.prefix);
  EXPECT_EQ(key.digest, given.digest);
  EXPECT_EQ(key.scopes, given.scopes);
  EXPECT_EQ(key.weight, given.weight);
  EXPECT_EQ(key.limits, given.limits);
  EXPECT_EQ(key.created_s, 1000);
  EXPECT_EQ(key.expires_s, 2000);
  EXPECT_EQ(key.revoked_s, std::nullopt);
}

TEST(Keys, ANameIsTakenUntilItsKeyIsRevoked) {
  const Scratch folder;
  auto store = open_or_fail(folder / "s.db");
  ASSERT_TRUE(add_key(*store, alice()).ok());
  StoredKey second = alice();
  second.digest = "other";
  const auto refused = add_key(*store, second);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kUsage);
  EXPECT_EQ(refused.error().what, "there is a key 'alice' already");
  ASSERT_TRUE(revoke_key(*store, "alice", 1500).ok());
  EXPECT_EQ(revoke_key(*store, "alice", 1600).error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(add_key(*store, second).value(), 2);
  EXPECT_EQ(list_keys(*store)->front().revoked_s, 1500);
}

TEST(Keys, AnotherConnectionSeesThatTheyChanged) {
  const Scratch folder;
  auto store = open_or_fail(folder / "s.db"), watcher = open_or_fail(folder / "s.db");
  const auto before = data_version(*watcher).value();
  EXPECT_EQ(data_version(*watcher).value(), before);
  ASSERT_TRUE(add_key(*store, alice()).ok());
  EXPECT_NE(data_version(*watcher).value(), before);
  EXPECT_EQ(list_keys(*watcher)->size(), 1u);
}

}  // namespace
}  // namespace maestrale::store
