#include "kernels/panels.h"

#include <gtest/gtest.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <vector>

#include "tensor/dtype.h"

namespace maestrale::kernels {
namespace {

// Where this hash changes, files of packed weights that exist mean something else now: count kPanelVersion
// up with it.
TEST(PanelVersion, BelongsToTheLayoutOfEveryType) {
  std::uint64_t hash = kPanelVersion;
  for (const FormatTraits& format : all_formats()) {
    const PanelLayout* layout = panel_layout(format.dtype);
    if (layout == nullptr) continue;
    constexpr std::int64_t kColumns = 512;
    const auto row_bytes = static_cast<std::size_t>(kColumns / format.block_elements * format.block_bytes);
    std::vector<std::byte> source(row_bytes * kPanelRows);
    std::uint32_t state = 1;
    for (std::byte& byte : source) {
      state = state * 1664525u + 1013904223u;
      byte = static_cast<std::byte>((state >> 24) & 0x3b);  // every f16 in it is finite
    }
    const std::byte* rows[kPanelRows];
    for (std::size_t r = 0; r < kPanelRows; ++r) rows[r] = source.data() + r * row_bytes;
    std::vector<std::byte> panel(panel_bytes(*layout, kColumns));
    pack_panel(*layout, rows, kColumns, panel.data());
    hash = XXH3_64bits_withSeed(panel.data(), panel.size(), hash);
  }
  EXPECT_EQ(hash, 14182909651236570568u);
}

}  // namespace
}  // namespace maestrale::kernels
