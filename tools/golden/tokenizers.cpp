// tokenizers/: texts and their ids by the reference engines, compared exactly.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <charconv>

#include "base/file.h"
#include "files/checkpoint.h"
#include "rank_json.h"
#include "read.h"
#include "sections.h"
#include "text/tokenizer/load.h"

namespace maestrale::golden {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<text::TokenId>;

Result<text::TiktokenSpec> tiktoken_spec(const JsonFields& fields) {
  text::TiktokenSpec spec;
  spec.pattern = TRY(fields.string("pattern"));
  if (const json::value* specials = fields.find("special_tokens");
      specials != nullptr && specials->is_object()) {
    for (const auto& [spelling, id] : specials->get_object()) {
      if (!id.is_int64())
        return Error{.what = "a special token's id is not a number", .where = fields.where()};
      spec.specials.emplace_back(spelling, static_cast<text::TokenId>(id.get_int64()));
    }
  }
  return spec;
}

// How many control tokens stand before the ranks: N where the engine says "ids = rank + N", else 0. The
// vocabulary is then a list of final ids that begins with the control tokens.
std::int32_t control_tokens_first(std::string_view engine) {
  constexpr std::string_view kMark = "ids = rank + ";
  const std::size_t at = engine.find(kMark);
  std::int32_t count = 0;
  if (at == engine.npos) return count;
  std::from_chars(engine.data() + at + kMark.size(), engine.data() + engine.size(), count);
  return count;
}

std::string_view without_first_lines(std::string_view text, std::int32_t count) {
  for (; count > 0 && !text.empty(); --count)
    text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  return text;
}

Result<text::TokenizerPtr> load_vocabulary(const JsonFields& fields, const Places& places) {
  const fs::path path = places.data / "tokenizers" / TRY(fields.string("vocab"));
  if (path.extension() == ".gguf") {
    files::Checkpoint checkpoint = TRY(files::open_checkpoint(path));
    if (checkpoint.tokenizer == nullptr) return Error{.what = checkpoint.tokenizer_problem, .where = path};
    return std::move(checkpoint.tokenizer);
  }
  const std::string bytes = TRY(read_maybe_gzipped(path));
  if (fields.has("pattern")) {
    const std::int32_t controls = control_tokens_first(TRY(fields.string_or("engine", "")));
    return text::tokenizer_from_tiktoken(without_first_lines(bytes, controls), TRY(tiktoken_spec(fields)),
                                         path);
  }
  if (fields.has("pre_tokenizer")) {
    return text::tokenizer_from_json(TRY(tokenizer_json_from_ranks(bytes, fields)), {}, path);
  }
  return text::tokenizer_from_sentencepiece(bytes, path);
}

std::string difference(std::string_view what, const Ids& got, const Ids& expected) {
  if (got == expected) return {};
  const auto at = static_cast<std::size_t>(
      std::mismatch(got.begin(), got.end(), expected.begin(), expected.end()).first - got.begin());
  const auto part = [at](const Ids& ids) {
    const std::size_t begin = std::min(at, ids.size());
    return Ids(ids.begin() + static_cast<std::ptrdiff_t>(begin),
               ids.begin() + static_cast<std::ptrdiff_t>(std::min(begin + 6, ids.size())));
  };
  return fmt::format("{} differs from place {} on: {}…, expected {}… ({} and {} ids)", what, at,
                     fmt::join(part(got), " "), fmt::join(part(expected), " "), got.size(), expected.size());
}

std::string unhex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; };
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  }
  return bytes;
}

struct Expectation {
  Ids plain, with_specials;
  bool knows_specials = true;  // whether with_specials can be told
};

// The ids of a case; a file may document a second right answer (`ids_bytelevel`).
Result<std::vector<Expectation>> expectations(const JsonFields& fields) {
  std::vector<Expectation> accepted;
  for (const char* key : {"ids", "ids_bytelevel"}) {
    const json::value* list = fields.find(key);
    if (list == nullptr) continue;
    Expectation one;
    one.plain = TRY(token_ids(*list, fields.where()));
    one.with_specials = one.plain;
    if (const json::value* parsed = fields.find("ids_parse_special")) {
      one.with_specials = TRY(token_ids(*parsed, fields.where()));
      one.knows_specials = accepted.empty();
    }
    accepted.push_back(std::move(one));
  }
  return accepted;
}

struct Around {
  Ids prefix, suffix;
  bool known = false;
};

std::string problem_with(const text::Tokenizer& tokenizer, std::string_view text, const Expectation& expected,
                         const Around& around) {
  if (auto problem = difference("encode", tokenizer.encode(text), expected.plain); !problem.empty())
    return problem;
  if (expected.knows_specials) {
    const Ids got = tokenizer.encode(text, {.parse_special = true});
    if (auto problem = difference("encode with specials", got, expected.with_specials); !problem.empty())
      return problem;
  }
  if (!around.known) return {};
  Ids whole = around.prefix;
  whole.insert(whole.end(), expected.plain.begin(), expected.plain.end());
  whole.insert(whole.end(), around.suffix.begin(), around.suffix.end());
  return difference("encode with BOS and EOS", tokenizer.encode(text, {.add_special = true}), whole);
}

Status run_case(const text::Tokenizer& tokenizer, const json::value& item, const std::string& case_name,
                const Around& around, Report& report) {
  const JsonFields fields(*TRY(object_of(item, case_name)), case_name);
  if (fields.has("hex")) {  // bytes that are not UTF-8: any ids will do, a crash or a hang will not
    (void)tokenizer.encode(unhex(TRY(fields.string("hex"))));
    report.pass();
    return {};
  }
  const std::string text = TRY(fields.string("text"));
  std::string problem = "no ids in this case";
  for (const Expectation& expected : TRY(expectations(fields))) {
    problem = problem_with(tokenizer, text, expected, around);
    if (problem.empty()) break;
  }
  if (!problem.empty()) problem += fmt::format("; text {}", json::serialize(json::value(text.substr(0, 60))));
  report.judge(case_name, problem);
  return {};
}

Result<Around> specials_around(const JsonFields& fields, const text::Tokenizer& tokenizer) {
  Around around;
  const json::object* both = TRY(fields.object("with_add_special"));
  const JsonFields inside(*both, fields.where());
  around.prefix = TRY(token_ids(*TRY(inside.array("prefix")), fields.where()));
  around.suffix = TRY(token_ids(*TRY(inside.array("suffix")), fields.where()));
  // Verified for vocabularies in GGUF; for others it is what the model's own code can add.
  const bool verified = TRY(fields.string("vocab")).ends_with(".gguf");
  around.known = verified || (tokenizer.adds_bos() && !around.prefix.empty());
  return around;
}

Status run_file(const fs::path& path, const Places& places, Report& report) {
  const std::string name = "tokenizers/" + path.stem().stem().string();
  const json::value document = TRY(read_json(path));
  const JsonFields fields(*TRY(object_of(document, path)), path);
  const json::array& cases = *TRY(fields.array("cases"));
  const auto tokenizer = load_vocabulary(fields, places);
  if (!tokenizer.ok()) {
    const bool no_data = tokenizer.error().kind == ErrorKind::kNotFound;
    no_data ? report.skip(name, tokenizer.error().render()) : report.fail(name, tokenizer.error().render());
    return {};
  }
  const Around around = TRY(specials_around(fields, **tokenizer));
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const std::string case_name = fmt::format("{}/{}", name, i);
    if (report.wants(case_name)) TRY(run_case(**tokenizer, cases[i], case_name, around, report));
  }
  return {};
}

}  // namespace

Status run_tokenizers(const fs::path& folder, const Places& places, Report& report) {
  for (const fs::path& path : sorted_entries(folder)) {
    const std::string name = path.filename();
    if (!name.ends_with(".json.gz") && !name.ends_with(".json")) continue;
    TRY(run_file(path, places, report));
  }
  return {};
}

}  // namespace maestrale::golden
