#include "grammar/validate_run.h"

#include <algorithm>
#include <cmath>

#include "grammar/formats.h"
#include "grammar/json_equal.h"

namespace maestrale::grammar {

void ValidateRun::Evaluated::add(const Evaluated& other) {
  all_properties = all_properties || other.all_properties;
  all_items = all_items || other.all_items;
  properties.insert(other.properties.begin(), other.properties.end());
  items.insert(other.items.begin(), other.items.end());
}

Status ValidateRun::run(const json::value& value, const std::string& where) {
  where_ = where;
  Evaluated evaluated;
  const bool good = check(index_.root(), value, evaluated);
  if (stopped_) return *stopped_;
  if (good) return {};
  return failure_ ? *failure_ : Error{.what = "the value does not fit its schema", .where = where_};
}

Result<bool> ValidateRun::fits(const json::value& schema, const json::value& value) {
  Evaluated evaluated;
  const bool good = quiet(schema, value, evaluated);
  if (stopped_) return *stopped_;
  return good;
}

bool ValidateRun::fail(const json::value& schema, std::string_view keyword) {
  if (quiet_ == 0 && !failure_) {
    failure_ = Error{.what = "the value does not fit its schema",
                     .where = where_ + path_,
                     .expected = "what " + index_.location(schema, keyword) + " says"};
  }
  return false;
}

bool ValidateRun::stop(const std::string& why) {
  if (!stopped_) stopped_ = Error{.kind = ErrorKind::kResource, .what = why, .where = where_ + path_};
  return false;
}

const json::value* ValidateRun::find(const json::value& schema, std::string_view keyword) const {
  return schema.get_object().if_contains(keyword);
}

bool ValidateRun::search(std::string_view expression, std::string_view text) {
  const auto known = patterns_.find(expression);
  if (known == patterns_.end()) return stop("a pattern outside the schema's vocabulary");
  const Pattern::Found found = known->second.search(text);
  if (found == Pattern::Found::kTooMuchWork) return stop("a pattern takes too much work");
  return found == Pattern::Found::kYes;
}

bool ValidateRun::check(const json::value& schema, const json::value& value, Evaluated& evaluated) {
  if (stopped_) return false;
  if (++work_ > kWorkMax || scope_.size() > kDepthMax) return stop("validation takes too much work");
  if (schema.is_bool()) return schema.get_bool() || fail(schema, "");
  scope_.push_back(&schema);
  Evaluated own;  // a schema does not see what its siblings have looked at
  const bool good = check_keywords(schema, value, own);
  scope_.pop_back();
  if (good) evaluated.add(own);
  return good && !stopped_;
}

bool ValidateRun::check_keywords(const json::value& schema, const json::value& value, Evaluated& evaluated) {
  if (!check_any(schema, value)) return false;
  if (value.is_number() && !check_number(schema, value)) return false;
  if (value.is_string() && !check_string(schema, value)) return false;
  if (!check_references(schema, value, evaluated) || !check_logic(schema, value, evaluated)) return false;
  if (value.is_array() && !check_array(schema, value.get_array(), evaluated)) return false;
  if (value.is_object() && !check_object(schema, value.get_object(), evaluated)) return false;
  if (value.is_object() && !check_dependent(schema, value, evaluated)) return false;
  return check_unevaluated(schema, value, evaluated);
}

bool ValidateRun::check_any(const json::value& schema, const json::value& value) {
  const auto has_type = [&](const json::value& name) {
    const std::string_view type = name.is_string() ? std::string_view(name.get_string()) : "";
    return (type == "null" && value.is_null()) || (type == "boolean" && value.is_bool()) ||
           (type == "string" && value.is_string()) || (type == "array" && value.is_array()) ||
           (type == "object" && value.is_object()) || (type == "number" && value.is_number()) ||
           (type == "integer" && is_integer(value));
  };
  if (const json::value* type = find(schema, "type")) {
    const bool good = type->is_array()
                          ? std::any_of(type->get_array().begin(), type->get_array().end(), has_type)
                          : has_type(*type);
    if (!good) return fail(schema, "type");
  }
  const auto same = [&](const json::value& other) { return json_equal(value, other); };
  if (const json::value* list = find(schema, "enum"); list != nullptr && list->is_array()) {
    if (std::none_of(list->get_array().begin(), list->get_array().end(), same)) return fail(schema, "enum");
  }
  const json::value* constant = find(schema, "const");
  return constant == nullptr || same(*constant) || fail(schema, "const");
}

bool ValidateRun::check_number(const json::value& schema, const json::value& value) {
  const long double number = number_of(value);
  const auto breaks = [&](std::string_view keyword, auto&& good) {
    const json::value* limit = find(schema, keyword);
    return limit != nullptr && limit->is_number() && !good(number_of(*limit)) && !fail(schema, keyword);
  };
  const auto multiple = [&](long double step) {
    const long double quotient = number / step;
    if (std::isinf(static_cast<double>(quotient))) return false;
    return std::fabs(quotient - std::round(quotient)) <= 1e-12L * std::max(1.0L, std::fabs(quotient));
  };
  return !breaks("minimum", [&](long double limit) { return number >= limit; }) &&
         !breaks("maximum", [&](long double limit) { return number <= limit; }) &&
         !breaks("exclusiveMinimum", [&](long double limit) { return number > limit; }) &&
         !breaks("exclusiveMaximum", [&](long double limit) { return number < limit; }) &&
         !breaks("multipleOf", multiple);
}

bool ValidateRun::check_string(const json::value& schema, const json::value& value) {
  const std::string_view text = value.get_string();
  const auto length = static_cast<long double>(code_point_count(text));
  const json::value* least = find(schema, "minLength");
  if (least != nullptr && least->is_number() && length < number_of(*least)) return fail(schema, "minLength");
  const json::value* most = find(schema, "maxLength");
  if (most != nullptr && most->is_number() && length > number_of(*most)) return fail(schema, "maxLength");
  const json::value* pattern = find(schema, "pattern");
  if (pattern != nullptr && pattern->is_string() && !search(pattern->get_string(), text)) {
    return fail(schema, "pattern");
  }
  const json::value* format = find(schema, "format");
  if (!options_.formats || format == nullptr || !format->is_string()) return true;
  std::string expression;
  if (find_format(format->get_string(), expression) != FormatSupport::kKnown) return true;
  return search("^(?:" + expression + ")$", text) || fail(schema, "format");
}

bool ValidateRun::quiet(const json::value& schema, const json::value& value, Evaluated& evaluated) {
  ++quiet_;
  const bool good = check(schema, value, evaluated);
  --quiet_;
  return good;
}

bool ValidateRun::check_references(const json::value& schema, const json::value& value,
                                   Evaluated& evaluated) {
  const json::value* reference = find(schema, "$ref");
  if (reference != nullptr && reference->is_string()) {
    const json::value* target = index_.resolve(schema, reference->get_string());
    if (target == nullptr) return stop("a reference that leads out of the document");
    if (!check(*target, value, evaluated)) return false;
  }
  reference = find(schema, "$dynamicRef");
  if (reference == nullptr || !reference->is_string()) return true;
  std::string anchor;
  const json::value* target = index_.resolve_dynamic(schema, reference->get_string(), anchor);
  if (target == nullptr) return stop("a reference that leads out of the document");
  for (const json::value* outer : scope_) {
    if (anchor.empty()) break;
    const json::value* found = index_.dynamic_anchor(*outer, anchor);
    if (found == nullptr) continue;
    target = found;
    break;
  }
  return check(*target, value, evaluated);
}

bool ValidateRun::check_logic(const json::value& schema, const json::value& value, Evaluated& evaluated) {
  const auto list = [&](std::string_view keyword) -> const json::array* {
    const json::value* found = find(schema, keyword);
    return found != nullptr && found->is_array() ? &found->get_array() : nullptr;
  };
  if (const json::array* parts = list("allOf")) {
    for (const json::value& part : *parts) {
      if (!check(part, value, evaluated)) return false;
    }
  }
  for (const std::string_view keyword : {"anyOf", "oneOf"}) {
    const json::array* parts = list(keyword);
    if (parts == nullptr) continue;
    int good = 0;
    for (const json::value& part : *parts) {
      Evaluated inside;
      if (!quiet(part, value, inside)) continue;
      ++good;
      evaluated.add(inside);
    }
    if (good == 0 || (keyword == "oneOf" && good > 1)) return fail(schema, keyword);
  }
  if (const json::value* part = find(schema, "not")) {
    Evaluated inside;
    if (quiet(*part, value, inside)) return fail(schema, "not");
  }
  return check_if(schema, value, evaluated);
}

bool ValidateRun::check_if(const json::value& schema, const json::value& value, Evaluated& evaluated) {
  const json::value* condition = find(schema, "if");
  if (condition == nullptr) return true;
  Evaluated inside;
  const bool holds = quiet(*condition, value, inside);
  if (holds) evaluated.add(inside);
  const json::value* branch = find(schema, holds ? "then" : "else");
  return branch == nullptr || check(*branch, value, evaluated);
}

bool ValidateRun::child(const json::value& schema, const json::value& value, const std::string& step) {
  const std::size_t length = path_.size();
  path_ += "/" + step;
  Evaluated own;
  const bool good = check(schema, value, own);
  path_.resize(length);
  return good;
}

bool ValidateRun::check_unevaluated(const json::value& schema, const json::value& value,
                                    Evaluated& evaluated) {
  const json::value* items = value.is_array() ? find(schema, "unevaluatedItems") : nullptr;
  if (items != nullptr && !evaluated.all_items) {
    for (std::size_t i = 0; i < value.get_array().size(); ++i) {
      if (evaluated.items.contains(i)) continue;
      if (!child(*items, value.get_array()[i], std::to_string(i))) return fail(schema, "unevaluatedItems");
    }
    evaluated.all_items = true;
  }
  const json::value* properties = value.is_object() ? find(schema, "unevaluatedProperties") : nullptr;
  if (properties != nullptr && !evaluated.all_properties) {
    for (const auto& member : value.get_object()) {
      if (evaluated.properties.contains(member.key())) continue;
      if (!child(*properties, member.value(), member.key())) return fail(schema, "unevaluatedProperties");
    }
    evaluated.all_properties = true;
  }
  return true;
}

}  // namespace maestrale::grammar
