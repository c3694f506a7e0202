#include "store/database.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/file.h"
#include "store/test_support.h"

namespace maestrale::store {
namespace {

using std::chrono::milliseconds;
constexpr std::string_view kFirst =
    "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT, number REAL, raw BLOB);";
constexpr std::string_view kSecond =
    "ALTER TABLE note ADD COLUMN more INTEGER; INSERT INTO note (text) VALUES ('two');";
constexpr std::string_view kOne[] = {kFirst};
constexpr std::string_view kTwo[] = {kFirst, kSecond};

Error open_error(const std::filesystem::path& path,
                 const DatabaseOptions& options = {milliseconds(20), true}) {
  auto store = Database::open(path, kOne, options);
  EXPECT_FALSE(store.ok());
  return store.ok() ? Error{} : store.error();
}

TEST(Database, KeepsEveryKindOfValue) {
  const Scratch folder;
  auto opened = Database::open(folder / "a.db", kOne);
  ASSERT_TRUE(opened.ok()) << opened.error().render();
  Database& store = **opened;
  const Row row{std::string("caff\xc3\xa8 \0 with a zero", 18), 0.1, Blob{std::string("\0\xff", 2)}};
  ASSERT_TRUE(store.change("INSERT INTO note (text, number, raw) VALUES (?, ?, ?)", row).ok());
  EXPECT_EQ(store.last_row_id(), 1);
  const auto rows = store.query("SELECT text, number, raw, NULL, 1 << 40 FROM note");
  ASSERT_TRUE(rows.ok()) << rows.error().render();
  const Row expected{row[0], row[1], row[2], std::monostate(), std::int64_t{1} << 40};
  EXPECT_EQ(rows->at(0), expected);
}

TEST(Database, MigratesStepByStepAndOnce) {
  const Scratch folder;
  { ASSERT_TRUE(Database::open(folder / "a.db", kOne).ok()); }
  for (int time = 0; time < 2; ++time) {
    auto store = Database::open(folder / "a.db", kTwo);
    ASSERT_TRUE(store.ok()) << store.error().render();
    EXPECT_EQ((*store)->value("SELECT count(*) FROM note WHERE more IS NULL").value(),
              Value(std::int64_t{1}));
  }
  const Error newer = open_error(folder / "a.db");
  EXPECT_EQ(newer.kind, ErrorKind::kUnsupported);
  EXPECT_EQ(newer.expected, "schema version 1 or older");
  EXPECT_EQ(newer.found, "version 2");
}

TEST(Database, AMigrationThatFailsLeavesTheOldVersion) {
  const Scratch folder;
  { ASSERT_TRUE(Database::open(folder / "a.db", kOne).ok()); }
  const std::string_view broken[] = {kFirst,
                                     "CREATE TABLE other (id INTEGER); CREATE TABLE note (id INTEGER);"};
  const auto failed = Database::open(folder / "a.db", broken);
  ASSERT_FALSE(failed.ok());
  EXPECT_NE(failed.error().found.find("already exists"), std::string::npos) << failed.error().render();
  auto store = Database::open(folder / "a.db", kOne);
  ASSERT_TRUE(store.ok()) << store.error().render();
  EXPECT_EQ((*store)->value("SELECT count(*) FROM sqlite_schema WHERE name = 'other'").value(),
            Value(std::int64_t{0}));
}

TEST(Database, TransactionsAreAllOrNothing) {
  const Scratch folder;
  auto store = std::move(Database::open(folder / "a.db", kOne)).value();
  const auto count = [&] { return integer_of(store->value("SELECT count(*) FROM note").value()); };
  {
    auto transaction = Transaction::begin(*store);
    ASSERT_TRUE(transaction.ok());
    ASSERT_TRUE(store->change("INSERT INTO note (text) VALUES ('a')").ok());
    EXPECT_EQ(count(), 1);
  }
  EXPECT_EQ(count(), 0);
  auto transaction = Transaction::begin(*store);
  ASSERT_TRUE(store->change("INSERT INTO note (text) VALUES ('a')").ok());
  ASSERT_TRUE(transaction->commit().ok());
  EXPECT_EQ(count(), 1);
}

TEST(Database, AnotherProgramsLockIsAnErrorAfterTheWait) {
  const Scratch folder;
  auto store = std::move(Database::open(folder / "a.db", kOne, {.busy = milliseconds(20)})).value();
  Stranger other(folder / "a.db");
  other.run("BEGIN IMMEDIATE");
  const auto refused = store->change("INSERT INTO note (text) VALUES ('a')");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kResource);
  EXPECT_EQ(refused.error().what, "the store is locked by another program");
  EXPECT_EQ(refused.error().where, (folder / "a.db").string());
  EXPECT_TRUE(store->query("SELECT * FROM note").ok()) << "reading goes on";
  other.run("ROLLBACK");
  EXPECT_TRUE(store->change("INSERT INTO note (text) VALUES ('a')").ok());
}

TEST(Database, AFullDiskIsAnErrorAndNothingIsHalfWritten) {
  const Scratch folder;
  auto store = std::move(Database::open(folder / "a.db", kOne)).value();
  ASSERT_TRUE(store->query("PRAGMA max_page_count = 20").ok());
  std::int64_t written = 0;
  Error error;
  while (written < 1000) {
    const auto status = store->change("INSERT INTO note (text) VALUES (?)", {std::string(3000, 'x')});
    if (!status.ok()) {
      error = status.error();
      break;
    }
    ++written;
  }
  EXPECT_EQ(error.kind, ErrorKind::kResource);
  EXPECT_EQ(error.what, "the store cannot grow: the disk is full");
  EXPECT_EQ(store->value("SELECT count(*) FROM note").value(), Value(written));
  ASSERT_TRUE(store->query("PRAGMA max_page_count = 1000").ok());
  EXPECT_TRUE(store->change("INSERT INTO note (text) VALUES ('a')").ok());
}

TEST(Database, RefusesWhatIsNotOurs) {
  const Scratch folder;
  ASSERT_TRUE(write_file(folder / "text", std::string(5000, 't')).ok());
  EXPECT_EQ(open_error(folder / "text").what, "not a SQLite database");
  {
    Stranger other(folder / "theirs.db");
    other.run("CREATE TABLE songs (name TEXT)");
  }
  const Error theirs = open_error(folder / "theirs.db");
  EXPECT_EQ(theirs.kind, ErrorKind::kUnsupported);
  EXPECT_EQ(theirs.what, "this database belongs to another program");
  EXPECT_EQ(open_error(folder / "no/such/folder.db").kind, ErrorKind::kNotFound);
  EXPECT_EQ(open_error(folder / "missing.db", {milliseconds(20), false}).what, "there is no such store");
  EXPECT_EQ(open_error(folder.path()).kind, ErrorKind::kIo);
}

TEST(Database, ADamagedFileIsAnError) {
  const Scratch folder;
  {
    auto store = std::move(Database::open(folder / "a.db", kOne)).value();
    for (int i = 0; i < 50; ++i)
      ASSERT_TRUE(store->change("INSERT INTO note (text) VALUES (?)", {std::string(2000, 'x')}).ok());
  }
  std::string bytes = read_file(folder / "a.db", 1 << 20).value();
  for (std::size_t i = 4096; i < bytes.size(); ++i) bytes[i] = static_cast<char>(0xa5);
  ASSERT_TRUE(write_file(folder / "a.db", bytes).ok());
  auto store = Database::open(folder / "a.db", kOne);
  const auto rows = store.ok() ? (*store)->query("SELECT text FROM note") : store.error();
  ASSERT_FALSE(rows.ok());
  EXPECT_EQ(rows.error().kind, ErrorKind::kInvalidInput);
  EXPECT_EQ(rows.error().what, "the store is damaged");
  bytes.resize(3000);
  ASSERT_TRUE(write_file(folder / "a.db", bytes).ok());
  EXPECT_EQ(open_error(folder / "a.db").kind, ErrorKind::kInvalidInput);
}

TEST(Database, AFolderThatCannotBeWrittenIsAnError) {
  const Scratch folder;
  { ASSERT_TRUE(Database::open(folder / "a.db", kOne).ok()); }
  std::filesystem::permissions(folder / "a.db", std::filesystem::perms(0444));
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0555));
  const bool is_root = ::geteuid() == 0;  // whom permissions do not stop
  ASSERT_TRUE(!is_root || ::seteuid(65534) == 0);
  const Error old_file = open_error(folder / "a.db");
  const Error new_file = open_error(folder / "b.db");
  ASSERT_TRUE(!is_root || ::seteuid(0) == 0);
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  EXPECT_EQ(old_file.kind, ErrorKind::kIo) << old_file.render();
  EXPECT_EQ(new_file.kind, ErrorKind::kIo) << new_file.render();
  EXPECT_NE(new_file.hint.find("folder must be"), std::string::npos) << new_file.render();
}

// Another process must see this one's locks, however often this one opens the file: else it takes itself for
// the last one and removes the log that is written to.
TEST(Database, ASecondConnectionKeepsTheLocksOfTheFirst) {
  const Scratch folder;
  auto first = std::move(Database::open(folder / "a.db", kOne)).value();
  auto second = std::move(Database::open(folder / "a.db", kOne)).value();
  const pid_t other = ::fork();
  if (other == 0) {
    Stranger(folder / "a.db").run("SELECT count(*) FROM note");
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(other, &status, 0), other);
  EXPECT_TRUE(std::filesystem::exists(folder / "a.db-wal"));
  ASSERT_TRUE(first->change("INSERT INTO note (text) VALUES ('a')").ok());
  EXPECT_EQ(second->value("SELECT count(*) FROM note").value(), Value(std::int64_t{1}));
}

TEST(Database, IsItsOwnersAlone) {
  const Scratch folder;
  ASSERT_TRUE(Database::open(folder / "a.db", kOne).ok());
  struct stat info {};
  ASSERT_EQ(::stat((folder / "a.db").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

}  // namespace
}  // namespace maestrale::store
