#include "store/database.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace maestrale::store {
namespace {

constexpr std::int64_t kApplicationId = 0x4d737472;  // "Mstr", in the file's head

// SQLite would let the umask decide; keys and usage are their owner's alone. A file that is there must not be
// opened here: closing it would drop the locks that other connections of this process hold on it.
Status make_private(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor >= 0) {
    ::close(descriptor);
    return {};
  }
  const int code = errno;
  if (code == EEXIST || code == EACCES || code == EROFS) return {};  // SQLite says more
  return Error{.kind = code == ENOENT ? ErrorKind::kNotFound : ErrorKind::kIo,
               .what = fmt::format("cannot open the store: {}", std::strerror(code)),
               .where = path};
}

// The first text that a failure's kind begins with, and what to do about it.
struct Meaning {
  int code;
  ErrorKind kind;
  std::string_view what, hint;
};
constexpr Meaning kMeanings[] = {
    {SQLITE_BUSY, ErrorKind::kResource, "the store is locked by another program",
     "try again when it is done"},
    {SQLITE_LOCKED, ErrorKind::kResource, "the store is locked by another program",
     "try again when it is done"},
    {SQLITE_FULL, ErrorKind::kResource, "the store cannot grow: the disk is full", "make room on its disk"},
    {SQLITE_NOMEM, ErrorKind::kResource, "out of memory", ""},
    {SQLITE_NOTADB, ErrorKind::kInvalidInput, "not a SQLite database", "name another file, or move it away"},
    {SQLITE_CORRUPT, ErrorKind::kInvalidInput, "the store is damaged",
     "restore a copy, or recover it with `sqlite3 FILE .recover`"},
    {SQLITE_READONLY, ErrorKind::kIo, "the store cannot be written",
     "its file and its folder must be writable"},
    {SQLITE_CANTOPEN, ErrorKind::kIo, "the store cannot be opened",
     "its file and its folder must be readable and writable"},
    {SQLITE_PERM, ErrorKind::kIo, "the store cannot be opened", "its file must be readable and writable"},
    {SQLITE_IOERR, ErrorKind::kIo, "the store cannot be read or written", ""},
};

}  // namespace

void Database::Close::operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
void Statement::Finalize::operator()(sqlite3_stmt* handle) const { sqlite3_finalize(handle); }

Error Database::failure(int code) const {
  const std::string found = handle_ != nullptr ? sqlite3_errmsg(handle_.get()) : sqlite3_errstr(code);
  for (const Meaning& meaning : kMeanings) {
    if ((code & 0xff) == meaning.code) {
      return {.kind = meaning.kind,
              .what = std::string(meaning.what),
              .where = path_,
              .found = found,
              .hint = std::string(meaning.hint)};
    }
  }
  return {.kind = ErrorKind::kInvalidInput, .what = "the store refuses this", .where = path_, .found = found};
}

Status Database::connect(const DatabaseOptions& options) {
  std::error_code ignored;
  if (!options.create && !std::filesystem::exists(path_, ignored)) {
    return Error{.kind = ErrorKind::kNotFound,
                 .what = "there is no such store",
                 .where = path_,
                 .hint = "`maestrale keys create` makes one"};
  }
  TRY(make_private(path_));
  sqlite3* handle = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int code = sqlite3_open_v2(path_.c_str(), &handle, flags, nullptr);
  handle_.reset(handle);
  if (code != SQLITE_OK) return failure(code);
  set_busy(options.busy);
  TRY(check_owner());
  // In this order: the first needs the file's lock only where the file is new.
  return script("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
}

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& path, Migrations migrations,
                                                 const DatabaseOptions& options) {
  auto database = std::unique_ptr<Database>(new Database(path.string()));  // NOLINT: a private constructor
  TRY(database->connect(options));
  TRY(database->migrate(migrations));
  return database;
}

void Database::set_busy(std::chrono::milliseconds busy) {
  sqlite3_busy_timeout(handle_.get(), static_cast<int>(busy.count()));
}

Status Database::script(std::string_view sql) {
  const int code = sqlite3_exec(handle_.get(), std::string(sql).c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return failure(code);
  return {};
}

Status Database::check_owner() {
  const std::int64_t owner = integer_of(TRY(value("PRAGMA application_id")));
  if (owner == kApplicationId) return {};
  const std::int64_t tables = integer_of(TRY(value("SELECT count(*) FROM sqlite_schema")));
  if (owner == 0 && tables == 0) return {};
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "this database belongs to another program",
               .where = path_,
               .expected = fmt::format("application id {:#x}", kApplicationId),
               .found = fmt::format("{:#x}, {} tables and indexes", owner, tables),
               .hint = "name another file"};
}

Status Database::migrate(Migrations migrations) {
  const auto last = static_cast<std::int64_t>(migrations.size());
  if (integer_of(TRY(value("PRAGMA user_version"))) == last) return {};
  Transaction transaction = TRY(Transaction::begin(*this));
  // Read again under the lock: another program may have done it meanwhile.
  const std::int64_t version = integer_of(TRY(value("PRAGMA user_version")));
  if (version > last) {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "the store was written by a newer Maestrale",
                 .where = path_,
                 .expected = fmt::format("schema version {} or older", last),
                 .found = fmt::format("version {}", version),
                 .hint = "use that Maestrale, or another file"};
  }
  for (std::int64_t step = version; step < last; ++step) {
    TRY(script(migrations[static_cast<std::size_t>(step)]));
  }
  TRY(script(fmt::format("PRAGMA user_version = {}; PRAGMA application_id = {};", last, kApplicationId)));
  return transaction.commit();
}

Result<std::vector<Row>> Database::query(std::string_view sql, const Row& parameters) {
  Statement statement = TRY(Statement::prepare(*this, sql));
  return statement.run(parameters);
}

Result<Value> Database::value(std::string_view sql, const Row& parameters) {
  auto rows = TRY(query(sql, parameters));
  if (!rows.empty() && !rows.front().empty()) return rows.front().front();
  return Error{.kind = ErrorKind::kInvalidInput, .what = "the store lacks a value", .where = path_};
}

Result<std::int64_t> Database::change(std::string_view sql, const Row& parameters) {
  TRY(query(sql, parameters));
  return static_cast<std::int64_t>(sqlite3_changes64(handle_.get()));
}

std::int64_t Database::last_row_id() const { return sqlite3_last_insert_rowid(handle_.get()); }

Result<Statement> Statement::prepare(Database& database, std::string_view sql) {
  Statement statement;
  statement.database_ = &database;
  sqlite3_stmt* handle = nullptr;
  const int code = sqlite3_prepare_v3(database.handle_.get(), sql.data(), static_cast<int>(sql.size()), 0,
                                      &handle, nullptr);
  statement.handle_.reset(handle);
  if (code != SQLITE_OK) return database.failure(code);
  return statement;
}

Status Statement::bind(const Row& parameters) {
  sqlite3_stmt* handle = handle_.get();
  CHECK(sqlite3_bind_parameter_count(handle) == static_cast<int>(parameters.size()),
        "as many parameters as the statement has");
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const int at = static_cast<int>(i) + 1;
    const Value& value = parameters[i];
    int code = SQLITE_OK;
    if (const auto* integer = std::get_if<std::int64_t>(&value)) {
      code = sqlite3_bind_int64(handle, at, *integer);
    } else if (const auto* real = std::get_if<double>(&value)) {
      code = sqlite3_bind_double(handle, at, *real);
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      code = sqlite3_bind_text64(handle, at, text->data(), text->size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    } else if (const auto* blob = std::get_if<Blob>(&value)) {
      code = sqlite3_bind_blob64(handle, at, blob->bytes.data(), blob->bytes.size(), SQLITE_TRANSIENT);
    } else {
      code = sqlite3_bind_null(handle, at);
    }
    if (code != SQLITE_OK) return database_->failure(code);
  }
  return {};
}

namespace {

Value column_of(sqlite3_stmt* handle, int column) {
  const auto size = [&] { return static_cast<std::size_t>(sqlite3_column_bytes(handle, column)); };
  switch (sqlite3_column_type(handle, column)) {
    case SQLITE_INTEGER:
      return std::int64_t{sqlite3_column_int64(handle, column)};
    case SQLITE_FLOAT:
      return sqlite3_column_double(handle, column);
    case SQLITE_TEXT: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(handle, column));
      return text == nullptr ? std::string() : std::string(text, size());
    }
    case SQLITE_BLOB: {
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(handle, column));
      return bytes == nullptr ? Blob() : Blob{std::string(bytes, size())};
    }
    default:
      return std::monostate();
  }
}

}  // namespace

Result<std::vector<Row>> Statement::rows() {
  std::vector<Row> rows;
  for (;;) {
    const int code = sqlite3_step(handle_.get());
    if (code == SQLITE_DONE) return rows;
    if (code != SQLITE_ROW) return database_->failure(code);
    Row& row = rows.emplace_back();
    for (int column = 0; column < sqlite3_column_count(handle_.get()); ++column)
      row.push_back(column_of(handle_.get(), column));
  }
}

Result<std::vector<Row>> Statement::run(const Row& parameters) {
  TRY(bind(parameters));
  auto result = rows();
  sqlite3_reset(handle_.get());  // says the same error again
  sqlite3_clear_bindings(handle_.get());
  return result;
}

Result<Transaction> Transaction::begin(Database& database) {
  TRY(database.script("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  if (database_ == nullptr || sqlite3_get_autocommit(database_->handle_.get()) != 0) return;
  (void)database_->script("ROLLBACK");
}

Status Transaction::commit() {
  TRY(database_->script("COMMIT"));
  database_ = nullptr;
  return {};
}

std::int64_t integer_of(const Value& value) {
  const auto* integer = std::get_if<std::int64_t>(&value);
  return integer != nullptr ? *integer : 0;
}
double real_of(const Value& value) {
  const auto* real = std::get_if<double>(&value);
  return real != nullptr ? *real : static_cast<double>(integer_of(value));
}
const std::string& text_of(const Value& value) {
  static const std::string kNone;
  const auto* text = std::get_if<std::string>(&value);
  return text != nullptr ? *text : kNone;
}
const std::string& bytes_of(const Value& value) {
  static const std::string kNone;
  const auto* blob = std::get_if<Blob>(&value);
  return blob != nullptr ? blob->bytes : kNone;
}
std::optional<std::int64_t> optional_integer(const Value& value) {
  const auto* integer = std::get_if<std::int64_t>(&value);
  return integer != nullptr ? std::optional(*integer) : std::nullopt;
}
Value value_of(std::optional<std::int64_t> value) {
  if (!value) return std::monostate();
  return *value;
}

}  // namespace maestrale::store
