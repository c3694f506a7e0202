// Quantised weights repacked at load into panels of 16 rows, so that one lane of a vector is one output row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/panel_layout.h"
#include "tensor/dtype.h"

namespace maestrale::kernels {

// To be counted up by whoever changes how panels of any type stand in memory: files of packed weights begin
// with it. panels_test.cpp notices.
constexpr std::uint32_t kPanelVersion = 1;

// The layout for rows stored as `source`; null for types that have none (floats, integers).
const PanelLayout* panel_layout(DType source);

// Bytes of one panel (16 rows) of `columns` columns; a multiple of 64. columns % 32 == 0.
std::size_t panel_bytes(const PanelLayout& layout, std::int64_t columns);

// Packs 16 rows of `columns` values as stored in `layout.source`; a null row is padding and packs as zeros.
// `out`: panel_bytes(layout, columns), every byte is written.
void pack_panel(const PanelLayout& layout, const std::byte* const rows[kPanelRows], std::int64_t columns,
                std::byte* out);

// Bytes of one row of activations as quantise_row writes it; a multiple of 64. columns % 32 == 0.
std::size_t activation_bytes(std::int64_t columns);

}  // namespace maestrale::kernels
