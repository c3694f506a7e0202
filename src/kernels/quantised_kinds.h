// The panel kinds: which codes with which scales. Freestanding.
#pragma once

#include "kernels/panel_layout.h"
#include "kernels/quantised_codes.h"
#include "kernels/quantised_scales.h"

namespace maestrale::kernels {

// A group of kBlocks blocks of 32 columns.
template <int kBlocks_, class Codes_, class Scales_>
struct Kind {
  using Codes = Codes_;
  using Scales = Scales_;
  static constexpr int kBlocks = kBlocks_;
  static constexpr int kColumns = kBlocks * kBlockColumns;
  static constexpr int kBytes = Codes::kBytes + Scales::kBytes;
  static_assert(kBytes % 64 == 0);
};

using NibbleF16 = Kind<2, NibbleCodes<2, 8>, HalfScales<2, false>>;
using NibbleF16Min = Kind<2, NibbleCodes<2, 0>, HalfScales<2, true>>;
using NibbleSuper = Kind<8, NibbleCodes<8, 0>, SuperScales>;
using FiveF16 = Kind<2, FiveBitCodes<2, 16>, HalfScales<2, false>>;
using FiveF16Min = Kind<2, FiveBitCodes<2, 0>, HalfScales<2, true>>;
using FiveSuper = Kind<8, FiveBitCodes<8, 0>, SuperScales>;
using ByteF16 = Kind<2, ByteCodes<2>, HalfScales<2, false>>;
using TwoSuper16 = Kind<8, TwoBitCodes<8>, NibbleScales>;
using ThreeSuper16 = Kind<8, ThreeBitCodes<8, 4>, FactorScales<2>>;
using SixSuper16 = Kind<8, SixBitCodes<8, 32>, FactorScales<2>>;
using TableF16 = Kind<2, TableCodes<2, 128, 0>, HalfScales<2, false>>;
using TableSuper = Kind<8, TableCodes<8, 128, 0>, FactorScales<1>>;
using TableExponent = Kind<4, TableCodes<4, 16, 4>, ExponentScales<4>>;
using TableF32 = Kind<1, TableCodes<1, 64, 1>, FloatScales<1>>;

// Calls visit(Kind{}) with the type that `kind` names.
template <class Visitor>
constexpr void with_kind(PanelKind kind, Visitor visit) {
  switch (kind) {
#define MAESTRALE_KIND(name) \
  case PanelKind::k##name:   \
    visit(name{});           \
    return
    MAESTRALE_KIND(NibbleF16);
    MAESTRALE_KIND(NibbleF16Min);
    MAESTRALE_KIND(NibbleSuper);
    MAESTRALE_KIND(FiveF16);
    MAESTRALE_KIND(FiveF16Min);
    MAESTRALE_KIND(FiveSuper);
    MAESTRALE_KIND(ByteF16);
    MAESTRALE_KIND(TwoSuper16);
    MAESTRALE_KIND(ThreeSuper16);
    MAESTRALE_KIND(SixSuper16);
    MAESTRALE_KIND(TableF16);
    MAESTRALE_KIND(TableSuper);
    MAESTRALE_KIND(TableExponent);
    MAESTRALE_KIND(TableF32);
#undef MAESTRALE_KIND
  }
}

}  // namespace maestrale::kernels
