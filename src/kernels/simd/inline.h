#pragma once

// Vector functions disappear into their callers, at every optimisation level.
#define SIMD_INLINE [[gnu::always_inline]] static inline
