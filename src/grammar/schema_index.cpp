#include "grammar/schema_index.h"

#include <algorithm>
#include <array>

namespace maestrale::grammar {
namespace {

constexpr std::array<std::string_view, 11> kOne = {
    "additionalProperties", "propertyNames",         "items",        "contains", "not", "if", "then", "else",
    "unevaluatedItems",     "unevaluatedProperties", "contentSchema"};
constexpr std::array<std::string_view, 4> kList = {"allOf", "anyOf", "oneOf", "prefixItems"};
constexpr std::array<std::string_view, 5> kMap = {"properties", "patternProperties", "$defs", "definitions",
                                                  "dependentSchemas"};

std::string pointer_token(std::string_view key) {
  std::string out;
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::string percent_decoded(std::string_view text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

const json::value* follow(const json::value* at, std::string_view pointer) {
  while (at != nullptr && !pointer.empty()) {
    pointer.remove_prefix(1);
    const std::size_t slash = std::min(pointer.find('/'), pointer.size());
    std::string key(pointer.substr(0, slash));
    pointer.remove_prefix(slash);
    for (std::size_t i = 0; i + 1 < key.size(); ++i) {
      if (key[i] != '~') continue;
      key.replace(i, 2, key[i + 1] == '1' ? "/" : "~");
    }
    if (at->is_object()) {
      at = at->get_object().if_contains(key);
    } else if (at->is_array() && !key.empty() && key.size() < 9 &&
               key.find_first_not_of("0123456789") == std::string::npos) {
      at = at->get_array().if_contains(static_cast<std::size_t>(std::stoul(key)));
    } else {
      at = nullptr;
    }
  }
  return at;
}

std::string without_dots(std::string_view path) {
  std::vector<std::string_view> parts;
  const bool absolute = path.starts_with('/');
  bool folder = false;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    folder = part == "." || part == "..";
    if (part == ".." && !parts.empty()) parts.pop_back();
    if (!folder && !(part.empty() && slash == 0)) parts.push_back(part);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  std::string out;
  for (const std::string_view part : parts) out += (out.empty() && !absolute ? "" : "/") + std::string(part);
  return folder || out.empty() ? out + "/" : out;
}

// RFC 3986, 5.2, without fragments; `reference` has none.
std::string resolved(const std::string& base, const std::string& reference) {
  if (reference.empty()) return base;
  const std::size_t colon = reference.find(':');
  if (colon != std::string::npos && reference.find('/') > colon) return reference;
  const std::size_t scheme = base.find(':');
  if (scheme == std::string::npos) {
    if (reference.starts_with('/')) return reference;
    return base.substr(0, base.rfind('/') == std::string::npos ? 0 : base.rfind('/') + 1) + reference;
  }
  std::size_t path = scheme + 1;
  if (base.compare(path, 2, "//") == 0) path = std::min(base.find('/', path + 2), base.size());
  const std::string authority = base.substr(0, path);
  if (reference.starts_with("//")) return base.substr(0, scheme + 1) + reference;
  if (reference.starts_with('/')) return authority + without_dots(reference);
  const std::size_t last = base.rfind('/');
  const std::string folder =
      last == std::string::npos || last < path ? "/" : base.substr(path, last - path + 1);
  const bool slash_end = reference.ends_with('/');
  const std::string joined = without_dots(folder + reference);
  return authority + joined + (slash_end && !joined.ends_with('/') ? "/" : "");
}

}  // namespace

Result<SchemaIndex> SchemaIndex::make(const json::value& root, const std::string& where) {
  SchemaIndex index;
  index.root_ = &root;
  index.where_ = where;
  index.resources_.emplace("", &root);
  TRY(index.walk(root, "", "", 0));
  return index;
}

Status SchemaIndex::walk(const json::value& schema, const std::string& pointer, std::string base, int depth) {
  if (!schema.is_object() && !schema.is_bool()) {
    return Error{
        .what = "not a schema", .where = where_ + "#" + pointer, .expected = "an object, true or false"};
  }
  if (depth > kDepthMax || places_.size() >= kSchemasMax) {
    return Error{.kind = ErrorKind::kResource,
                 .what = depth > kDepthMax ? "the schema is nested too deeply" : "the schema is too large",
                 .where = where_ + "#" + pointer,
                 .expected = "a depth of at most " + std::to_string(kDepthMax) + " and at most " +
                             std::to_string(kSchemasMax) + " schemas"};
  }
  if (schema.is_object()) {
    const json::object& object = schema.get_object();
    const auto text = [&](std::string_view key) -> std::string {
      const json::value* value = object.if_contains(key);
      return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
    };
    if (const std::string dialect = text("$schema");
        !dialect.empty() && dialect.find("://json-schema.org/draft") == std::string::npos) {
      return Error{.kind = ErrorKind::kUnsupported,
                   .what = "'$schema' names a vocabulary that is not known",
                   .where = where_ + "#" + pointer + "/$schema",
                   .expected = "https://json-schema.org/draft/2020-12/schema",
                   .found = dialect};
    }
    if (std::string id = text("$id"); !id.empty()) {
      if (id.ends_with('#')) id.pop_back();
      base = resolved(base, id);
      resources_.emplace(base, &schema);
    }
    if (const std::string anchor = text("$anchor"); !anchor.empty()) anchors_[{base, anchor}] = &schema;
    if (const std::string anchor = text("$dynamicAnchor"); !anchor.empty()) {
      anchors_[{base, anchor}] = &schema;
      dynamics_[{base, anchor}] = &schema;
    }
  }
  places_[&schema] = {pointer, base};
  schemas_.push_back(&schema);
  return schema.is_object() ? walk_below(schema, pointer, base, depth + 1) : Status();
}

Status SchemaIndex::walk_below(const json::value& schema, const std::string& pointer, const std::string& base,
                               int depth) {
  for (const auto& member : schema.get_object()) {
    const std::string_view key = member.key();
    const json::value& value = member.value();
    const std::string here = pointer + "/" + pointer_token(key);
    const auto is_in = [&](const auto& list) {
      return std::find(list.begin(), list.end(), key) != list.end();
    };
    if (is_in(kOne)) {
      if (!value.is_array()) TRY(walk(value, here, base, depth));
    } else if (is_in(kList)) {
      if (!value.is_array()) return Error{.what = "not a list of schemas", .where = where_ + "#" + here};
      std::size_t i = 0;
      for (const json::value& part : value.get_array())
        TRY(walk(part, here + "/" + std::to_string(i++), base, depth));
    } else if (is_in(kMap)) {
      if (!value.is_object()) return Error{.what = "not an object of schemas", .where = where_ + "#" + here};
      for (const auto& part : value.get_object()) {
        TRY(walk(part.value(), here + "/" + pointer_token(part.key()), base, depth));
      }
    }
  }
  return {};
}

std::string SchemaIndex::base_of(const json::value& schema) const {
  const auto place = places_.find(&schema);
  return place == places_.end() ? std::string() : place->second.base;
}

const json::value* SchemaIndex::resolve(const json::value& schema, std::string_view reference) const {
  const std::size_t hash = std::min(reference.find('#'), reference.size());
  const std::string uri = resolved(base_of(schema), std::string(reference.substr(0, hash)));
  const std::string fragment = percent_decoded(reference.substr(std::min(hash + 1, reference.size())));
  const auto resource = resources_.find(uri);
  if (resource == resources_.end()) return nullptr;
  if (fragment.empty() || fragment[0] == '/') {
    const json::value* found = follow(resource->second, fragment);
    return found != nullptr && (found->is_object() || found->is_bool()) ? found : nullptr;
  }
  const auto anchor = anchors_.find({uri, fragment});
  return anchor == anchors_.end() ? nullptr : anchor->second;
}

const json::value* SchemaIndex::resolve_dynamic(const json::value& schema, std::string_view reference,
                                                std::string& anchor) const {
  const json::value* found = resolve(schema, reference);
  anchor.clear();
  if (found == nullptr) return nullptr;
  const std::size_t hash = reference.find('#');
  if (hash == std::string_view::npos) return found;
  const std::string name(reference.substr(hash + 1));
  const auto dynamic = dynamics_.find({base_of(*found), name});
  if (dynamic != dynamics_.end() && dynamic->second == found) anchor = name;
  return found;
}

const json::value* SchemaIndex::dynamic_anchor(const json::value& schema, const std::string& anchor) const {
  const auto found = dynamics_.find({base_of(schema), anchor});
  return found == dynamics_.end() ? nullptr : found->second;
}

std::string SchemaIndex::location(const json::value& schema) const {
  const auto place = places_.find(&schema);
  return where_ + "#" + (place == places_.end() ? "" : place->second.pointer);
}

std::string SchemaIndex::location(const json::value& schema, std::string_view keyword) const {
  return location(schema) + "/" + pointer_token(keyword);
}

}  // namespace maestrale::grammar
