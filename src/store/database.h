// Database: one SQLite file behind a small interface that owns what it opens. Write-ahead log, foreign keys,
// waits a bounded time for other programs. One thread at a time for each Database; open one for each thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace maestrale::store {

// What a parameter or a column holds; monostate is NULL. Texts are UTF-8; bytes stand in a Blob.
struct Blob {
  std::string bytes;
  bool operator==(const Blob&) const = default;
};
using Value = std::variant<std::monostate, std::int64_t, double, std::string, Blob>;
using Row = std::vector<Value>;

struct DatabaseOptions {
  std::chrono::milliseconds busy{2000};  // how long to wait where another program writes
  bool create = true;                    // else a missing file is kNotFound
};

// A schema's steps: step i takes version i to i + 1. Only ever append.
using Migrations = std::span<const std::string_view>;

// Errors, all with the file in `where`: kResource (locked by another program, disk full, out of memory),
// kInvalidInput (not a database, damaged), kIo (cannot be read or written), kUnsupported (written by a newer
// version, or by another program).
class Database {
 public:
  // Opens the file, or makes it, readable by its owner alone, and brings it to the last version.
  static Result<std::unique_ptr<Database>> open(const std::filesystem::path& path, Migrations migrations,
                                                const DatabaseOptions& options = {});

  // Runs one statement to its end; its rows, each with its columns in order.
  Result<std::vector<Row>> query(std::string_view sql, const Row& parameters = {});
  // The first column of the first row; kInvalidInput where there is none.
  Result<Value> value(std::string_view sql, const Row& parameters = {});
  // Runs one statement that gives no rows; how many rows it changed.
  Result<std::int64_t> change(std::string_view sql, const Row& parameters = {});
  std::int64_t last_row_id() const;
  void set_busy(std::chrono::milliseconds busy);
  const std::string& path() const { return path_; }

 private:
  friend class Statement;
  friend class Transaction;
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  explicit Database(std::string path) : path_(std::move(path)) {}
  Error failure(int code) const;
  Status connect(const DatabaseOptions& options);
  Status script(std::string_view sql);
  Status check_owner();
  Status migrate(Migrations migrations);

  std::unique_ptr<sqlite3, Close> handle_;
  std::string path_;
};

// A prepared statement, to be run many times. Must not outlive its database.
class Statement {
 public:
  static Result<Statement> prepare(Database& database, std::string_view sql);
  // Runs it with these parameters, from the first "?" on. Texts are copied.
  Result<std::vector<Row>> run(const Row& parameters = {});

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* handle) const;
  };
  Statement() = default;
  Status bind(const Row& parameters);
  Result<std::vector<Row>> rows();
  Database* database_ = nullptr;
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

// All or nothing. Takes the lock for writing at once, so that a later step cannot fail by another writer.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();  // undoes what was not committed
  Status commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

// Columns as what they must be; a schema of ours holds nothing else.
std::int64_t integer_of(const Value& value);
double real_of(const Value& value);
const std::string& text_of(const Value& value);
const std::string& bytes_of(const Value& value);
std::optional<std::int64_t> optional_integer(const Value& value);
Value value_of(std::optional<std::int64_t> value);

}  // namespace maestrale::store
