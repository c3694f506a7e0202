// A JSON Schema document as a set of schemas that refer to one another: where each stands and what a `$ref`
// in it means. References leave the document nowhere.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace maestrale::grammar {

class SchemaIndex {
 public:
  static constexpr int kDepthMax = 100;
  static constexpr std::size_t kSchemasMax = 20'000;

  // `root` must outlive the index. Errors: kInvalidInput, kResource (too deep, too many).
  static Result<SchemaIndex> make(const json::value& root, const std::string& where);

  const json::value& root() const { return *root_; }
  const std::string& where() const { return where_; }
  // The schema that `reference` names when it stands in `schema`; null: there is none in this document.
  const json::value* resolve(const json::value& schema, std::string_view reference) const;
  // What `$dynamicRef: reference` in `schema` names at first, and its anchor if it is a dynamic one.
  const json::value* resolve_dynamic(const json::value& schema, std::string_view reference,
                                     std::string& anchor) const;
  // The schema with this dynamic anchor in the resource (document with an `$id`) that `schema` belongs to.
  const json::value* dynamic_anchor(const json::value& schema, const std::string& anchor) const;
  // Every schema that stands where the vocabulary has one.
  const std::vector<const json::value*>& schemas() const { return schemas_; }
  // "where#/properties/a": for errors.
  std::string location(const json::value& schema) const;
  std::string location(const json::value& schema, std::string_view keyword) const;

 private:
  struct Place {
    std::string pointer, base;
  };
  Status walk(const json::value& schema, const std::string& pointer, std::string base, int depth);
  Status walk_below(const json::value& schema, const std::string& pointer, const std::string& base,
                    int depth);
  std::string base_of(const json::value& schema) const;

  const json::value* root_ = nullptr;
  std::string where_;
  std::vector<const json::value*> schemas_;
  std::unordered_map<const json::value*, Place> places_;
  std::map<std::string, const json::value*> resources_;                         // by URI without fragment
  std::map<std::pair<std::string, std::string>, const json::value*> anchors_;   // (URI, name)
  std::map<std::pair<std::string, std::string>, const json::value*> dynamics_;  // of them, dynamic ones
};

}  // namespace maestrale::grammar
