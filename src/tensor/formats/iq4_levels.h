// The 16 levels of IQ4_NL and IQ4_XS, as fixed by ggml-common.h in ggml (https://github.com/ggml-org/ggml).
#pragma once

namespace maestrale {

inline constexpr float kLevelsIQ4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};

}  // namespace maestrale
