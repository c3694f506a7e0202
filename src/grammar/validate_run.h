// One walk of a validator over one value.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/pattern.h"
#include "grammar/schema_index.h"
#include "grammar/validate.h"

namespace maestrale::grammar {

using Patterns = std::map<std::string, Pattern, std::less<>>;  // by expression; formats' as "(?:…)" whole

// A schema with all that validation needs at hand. `root` must outlive it.
struct PreparedSchema {
  SchemaIndex index;
  Patterns patterns;
  ValidateOptions options;

  static Result<PreparedSchema> make(const json::value& root, const std::string& where,
                                     const ValidateOptions& options);

 private:
  Status prepare(const json::value& schema);
  Status add_pattern(const std::string& expression, const std::string& where);
};

class ValidateRun {
 public:
  explicit ValidateRun(const PreparedSchema& schema)
      : index_(schema.index), patterns_(schema.patterns), options_(schema.options) {}
  Status run(const json::value& value, const std::string& where);
  // Whether `value` fits one schema of the document; kResource as run().
  Result<bool> fits(const json::value& schema, const json::value& value);

 private:
  static constexpr int kDepthMax = 600;
  static constexpr std::int64_t kWorkMax = 20'000'000;
  // Which children some keyword of a schema, or of those it applies in place, has looked at.
  struct Evaluated {
    bool all_properties = false, all_items = false;
    std::set<std::string_view> properties;
    std::set<std::size_t> items;
    void add(const Evaluated& other);
  };
  bool check(const json::value& schema, const json::value& value, Evaluated& evaluated);
  bool check_keywords(const json::value& schema, const json::value& value, Evaluated& evaluated);
  bool check_any(const json::value& schema, const json::value& value);
  bool check_number(const json::value& schema, const json::value& value);
  bool check_string(const json::value& schema, const json::value& value);
  bool check_references(const json::value& schema, const json::value& value, Evaluated& evaluated);
  bool check_logic(const json::value& schema, const json::value& value, Evaluated& evaluated);
  bool check_if(const json::value& schema, const json::value& value, Evaluated& evaluated);
  bool check_array(const json::value& schema, const json::array& value, Evaluated& evaluated);
  bool check_contains(const json::value& schema, const json::array& value, Evaluated& evaluated);
  bool check_object(const json::value& schema, const json::object& value, Evaluated& evaluated);
  bool check_members(const json::value& schema, const json::object& value, Evaluated& evaluated);
  bool check_dependent(const json::value& schema, const json::value& value, Evaluated& evaluated);
  bool check_unevaluated(const json::value& schema, const json::value& value, Evaluated& evaluated);
  bool child(const json::value& schema, const json::value& value, const std::string& step);
  bool quiet(const json::value& schema, const json::value& value, Evaluated& evaluated);
  bool search(std::string_view expression, std::string_view text);
  const json::value* find(const json::value& schema, std::string_view keyword) const;
  bool fail(const json::value& schema, std::string_view keyword);
  bool stop(const std::string& why);

  const SchemaIndex& index_;
  const Patterns& patterns_;
  const ValidateOptions& options_;
  std::string where_;
  std::string path_;                       // of the value
  std::vector<const json::value*> scope_;  // schemas entered, outermost first
  std::optional<Error> failure_, stopped_;
  int quiet_ = 0;
  std::int64_t work_ = 0;
};

}  // namespace maestrale::grammar
