#include <unordered_set>

#include "files/gguf_reader.h"
#include "files/openers.h"

namespace maestrale::files {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxParts = 99999;

struct Split {
  std::int64_t number = 0;  // from 0
  std::int64_t count = 1;
  std::int64_t tensors = 0;
};

Result<Split> split_of(const GgufFile& file, const std::string& where) {
  const JsonFields fields(file.metadata, where);
  Split split;
  split.number = TRY(fields.integer_or("split.no", 0));
  split.count = TRY(fields.integer_or("split.count", 1));
  split.tensors = TRY(fields.integer_or("split.tensors.count", 0));
  if (split.count == 0) split.count = 1;
  if (split.count >= 1 && split.count <= kMaxParts && split.number >= 0 && split.number < split.count)
    return split;
  return Error{.what = "the split keys make no sense",
               .where = where,
               .expected = "split.no below split.count",
               .found = std::to_string(split.number) + " of " + std::to_string(split.count)};
}

std::string five_digits(std::int64_t number) {
  const std::string digits = std::to_string(number);
  return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
}

// "…-00002-of-00005.gguf" -> the same with another number; empty where the name has another form.
fs::path part_path(const fs::path& path, std::int64_t number, std::int64_t count) {
  const std::string tail = "-of-" + five_digits(count) + ".gguf";
  const std::string name = path.filename().string();
  const std::size_t length = tail.size() + 6;  // "-00002" before it
  if (!name.ends_with(tail) || name.size() < length || name[name.size() - length] != '-') return {};
  return path.parent_path() / (name.substr(0, name.size() - length) + "-" + five_digits(number + 1) + tail);
}

Status append_tensors(GgufFile& part, const std::string& where, Checkpoint& out,
                      std::unordered_set<std::string>& names) {
  for (TensorView& tensor : part.tensors) {
    if (!names.insert(tensor.name).second) {
      return Error{.what = "tensor '" + tensor.name + "' stands in two parts", .where = where};
    }
    out.tensors.push_back(std::move(tensor));
  }
  return {};
}

Status append_part(const fs::path& path, std::int64_t number, const Split& whole, Checkpoint& out,
                   GgufFile& first, std::unordered_set<std::string>& names) {
  auto opened = MappedFile::open(path);
  if (!opened.ok()) {
    return Error{.kind = opened.error().kind,
                 .what = "a part of the split model cannot be opened (" + opened.error().what + ")",
                 .where = path.string(),
                 .hint = "all " + std::to_string(whole.count) + " parts must lie in one folder"};
  }
  GgufFile part = TRY(parse_gguf(opened->bytes(), path.string()));
  const Split split = TRY(split_of(part, path.string()));
  if (split.number != number || split.count != whole.count) {
    return Error{.what = "the file is another part than its name says",
                 .where = path.string(),
                 .expected = std::to_string(number) + " of " + std::to_string(whole.count),
                 .found = std::to_string(split.number) + " of " + std::to_string(split.count)};
  }
  TRY(append_tensors(part, path.string(), out, names));
  out.mappings.push_back(std::move(*opened));
  if (number == 0) first = std::move(part);
  return {};
}

// All parts; the first part's keys are the model's.
Result<GgufFile> open_parts(const fs::path& path, const Split& whole, Checkpoint& out) {
  if (part_path(path, 0, whole.count).empty()) {
    return Error{.what = "one part of a split model under another name",
                 .where = path.string(),
                 .expected = "a name that ends in -0000N-of-0000M.gguf",
                 .hint = "give the parts their published names back"};
  }
  GgufFile first;
  std::unordered_set<std::string> names;
  for (std::int64_t i = 0; i < whole.count; ++i) {
    TRY(append_part(part_path(path, i, whole.count), i, whole, out, first, names));
  }
  if (whole.tensors == 0 || whole.tensors == static_cast<std::int64_t>(out.tensors.size())) return first;
  return Error{.what = "the parts do not hold all tensors",
               .where = path.string(),
               .expected = std::to_string(whole.tensors),
               .found = std::to_string(out.tensors.size())};
}

Status adopt_keys(GgufFile& file, const std::string& where, const OpenOptions& options, Checkpoint& out) {
  out.metadata = std::move(file.metadata);
  out.chat_template = TRY(JsonFields(out.metadata, where).string_or("tokenizer.chat_template", ""));
  if (!options.load_tokenizer) return {};
  if (!file.has_vocabulary()) {
    out.tokenizer_problem = where + ": the file holds no vocabulary";
    return {};
  }
  keep_tokenizer(text::tokenizer_from_gguf(file.vocabulary, where), out);
  return {};
}

}  // namespace

Result<Checkpoint> open_gguf(MappedFile opened, const OpenOptions& options) {
  Checkpoint out;
  out.dialect = Dialect::kGguf;
  const std::string where = opened.path().string();
  GgufFile file = TRY(parse_gguf(opened.bytes(), where));
  const Split split = TRY(split_of(file, where));
  if (split.count > 1) {
    file = TRY(open_parts(opened.path(), split, out));
  } else {
    out.tensors = std::move(file.tensors);
    out.mappings.push_back(std::move(opened));
  }
  TRY(adopt_keys(file, where, options, out));
  return out;
}

}  // namespace maestrale::files
