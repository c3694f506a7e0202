// The filters, by what they work on; filters.cpp has the table of names.
#pragma once

#include "text/template/machine.h"

namespace maestrale::text::jinja {

#define MAESTRALE_FILTER(name) \
  Result<Value> filter_##name(Machine&, const Value& self, const Bound& arguments)

// text (filters_text.cpp)
MAESTRALE_FILTER(upper);
MAESTRALE_FILTER(lower);
MAESTRALE_FILTER(title);
MAESTRALE_FILTER(capitalize);
MAESTRALE_FILTER(trim);
MAESTRALE_FILTER(replace);
MAESTRALE_FILTER(indent);
MAESTRALE_FILTER(truncate);
MAESTRALE_FILTER(wordcount);
MAESTRALE_FILTER(center);
MAESTRALE_FILTER(escape);
MAESTRALE_FILTER(urlencode);
MAESTRALE_FILTER(format);
MAESTRALE_FILTER(string);
// numbers and the rest (filters_value.cpp)
MAESTRALE_FILTER(safe);
MAESTRALE_FILTER(default);
MAESTRALE_FILTER(int);
MAESTRALE_FILTER(float);
MAESTRALE_FILTER(abs);
MAESTRALE_FILTER(round);
MAESTRALE_FILTER(length);
MAESTRALE_FILTER(attr);
MAESTRALE_FILTER(items);
MAESTRALE_FILTER(tojson);
MAESTRALE_FILTER(sum);
MAESTRALE_FILTER(min);
MAESTRALE_FILTER(max);
// sequences (filters_sequence.cpp)
MAESTRALE_FILTER(list);
MAESTRALE_FILTER(join);
MAESTRALE_FILTER(first);
MAESTRALE_FILTER(last);
MAESTRALE_FILTER(reverse);
MAESTRALE_FILTER(sort);
MAESTRALE_FILTER(dictsort);
MAESTRALE_FILTER(unique);
MAESTRALE_FILTER(groupby);
MAESTRALE_FILTER(batch);
MAESTRALE_FILTER(slice);
MAESTRALE_FILTER(map);
MAESTRALE_FILTER(select);
MAESTRALE_FILTER(reject);
MAESTRALE_FILTER(selectattr);
MAESTRALE_FILTER(rejectattr);

#undef MAESTRALE_FILTER

// What a sort compares: the value, or its attribute; strings in lower case unless case_sensitive.
Result<Value> sort_key(Machine& machine, const Value& item, const Value& attribute, bool case_sensitive);
bool flag(const Value& argument, bool fallback = false);
Result<std::int64_t> integer(Machine& machine, const Value& argument, std::int64_t fallback);

}  // namespace maestrale::text::jinja
