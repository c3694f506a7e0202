#include "text/template/filters.h"

#include <algorithm>

#include "text/template/strings.h"

namespace maestrale::text::jinja {
namespace {

constexpr Builtin kFilters[] = {
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", filter_tojson},
    {"length", "", filter_length},
    {"count", "", filter_length},
    {"trim", "chars?", filter_trim},
    {"default", "default_value? boolean?", filter_default},
    {"d", "default_value? boolean?", filter_default},
    {"string", "", filter_string},
    {"join", "d? attribute?", filter_join},
    {"items", "", filter_items},
    {"safe", "", filter_safe},
    {"upper", "", filter_upper},
    {"lower", "", filter_lower},
    {"title", "", filter_title},
    {"capitalize", "", filter_capitalize},
    {"replace", "old new count?", filter_replace},
    {"indent", "width? first? blank?", filter_indent},
    {"truncate", "length? killwords? end? leeway?", filter_truncate},
    {"wordcount", "", filter_wordcount},
    {"center", "width?", filter_center},
    {"escape", "", filter_escape},
    {"e", "", filter_escape},
    {"forceescape", "", filter_escape},
    {"urlencode", "", filter_urlencode},
    {"format", "* **", filter_format},
    {"int", "default? base?", filter_int},
    {"float", "default?", filter_float},
    {"abs", "", filter_abs},
    {"round", "precision? method?", filter_round},
    {"attr", "name", filter_attr},
    {"sum", "attribute? start?", filter_sum},
    {"min", "case_sensitive? attribute?", filter_min},
    {"max", "case_sensitive? attribute?", filter_max},
    {"list", "", filter_list},
    {"first", "", filter_first},
    {"last", "", filter_last},
    {"reverse", "", filter_reverse},
    {"sort", "reverse? case_sensitive? attribute?", filter_sort},
    {"dictsort", "case_sensitive? by? reverse?", filter_dictsort},
    {"unique", "case_sensitive? attribute?", filter_unique},
    {"groupby", "attribute default? case_sensitive?", filter_groupby},
    {"batch", "linecount fill_with?", filter_batch},
    {"slice", "slices fill_with?", filter_slice},
    {"map", "* **", filter_map},
    {"select", "* **", filter_select},
    {"reject", "* **", filter_reject},
    {"selectattr", "* **", filter_selectattr},
    {"rejectattr", "* **", filter_rejectattr},
};

constexpr std::string_view kRefused[] = {"random",  "pprint",    "urlize",  "filesizeformat",
                                         "xmlattr", "striptags", "wordwrap"};

}  // namespace

const Builtin* find_filter(std::string_view name) {
  const auto at = std::find_if(std::begin(kFilters), std::end(kFilters),
                               [&](const Builtin& b) { return b.name == name; });
  return at == std::end(kFilters) ? nullptr : at;
}

bool is_refused_filter(std::string_view name) {
  return std::find(std::begin(kRefused), std::end(kRefused), name) != std::end(kRefused);
}

bool flag(const Value& argument, bool fallback) { return argument.absent() ? fallback : truthy(argument); }

Result<std::int64_t> integer(Machine& machine, const Value& argument, std::int64_t fallback) {
  if (argument.absent() || argument.is_none()) return fallback;
  if (argument.is_undefined()) return machine.fail(std::string(argument.str()));
  if (argument.is_integral()) return argument.as_int();
  return machine.fail("'" + std::string(type_name(argument)) +
                      "' object cannot be interpreted as an integer");
}

Result<Value> sort_key(Machine& machine, const Value& item, const Value& attribute, bool case_sensitive) {
  Value key = item;
  if (!attribute.absent() && !attribute.is_none()) key = TRY(machine.path(item, attribute));
  if (key.is_string() && !case_sensitive) {
    TRY(machine.charge(key.size));
    return machine.string(to_folded(key.str()));
  }
  return key;
}

}  // namespace maestrale::text::jinja
