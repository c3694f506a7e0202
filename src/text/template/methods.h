// Methods by the kind of their object; methods.cpp finds them.
#pragma once

#include <span>

#include "text/template/machine.h"

namespace maestrale::text::jinja {

std::span<const Builtin> string_methods();

}  // namespace maestrale::text::jinja
