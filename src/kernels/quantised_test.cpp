#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/activation_block.h"
#include "kernels/dispatch.h"
#include "kernels/panels.h"
#include "kernels/quantised_oracle.h"
#include "kernels/test_support.h"

namespace maestrale::kernels {
namespace {

std::vector<std::uint8_t> random_rows(const oracle::Format& format, const FormatTraits& facts, int rows,
                                      int columns, Random& random) {
  const int blocks = rows * columns / facts.block_elements;
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(blocks * facts.block_bytes));
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.next());
  for (int b = 0; b < blocks; ++b) {
    std::uint8_t* block = bytes.data() + b * facts.block_bytes;
    for (const int at : format.f16_at) {
      const std::uint16_t half = f32_to_f16(random.normal_like() * 0.01f);
      std::memcpy(block + at, &half, 2);
    }
    if (facts.dtype == DType::kIQ1_M) block[55] = static_cast<std::uint8_t>((block[55] & 15) | 0x20);
    if (facts.dtype == DType::kMXFP4) block[0] = static_cast<std::uint8_t>(110 + block[0] % 20);
  }
  return bytes;
}

// Rows of weights, packed, and their meaning.
struct Weights {
  const PanelLayout* layout;
  int rows;
  int columns;
  std::int64_t panels;
  Buffer packed;
  std::vector<std::vector<oracle::Weight>> meaning;
};

Weights pack(const oracle::Format& format, const std::vector<std::uint8_t>& bytes, int rows, int columns) {
  const FormatTraits& facts = traits(*dtype_from_name(format.name));
  const PanelLayout* layout = panel_layout(facts.dtype);
  const std::size_t size = panel_bytes(*layout, columns);
  const std::int64_t panels = (rows + kPanelRows - 1) / kPanelRows;
  Weights made{layout, rows, columns, panels, Buffer(size * static_cast<std::size_t>(panels)), {}};
  const std::size_t row_bytes = static_cast<std::size_t>(columns / facts.block_elements * facts.block_bytes);
  for (std::int64_t panel = 0; panel < panels; ++panel) {
    const std::byte* sources[kPanelRows] = {};
    for (int lane = 0; lane < kPanelRows && panel * kPanelRows + lane < rows; ++lane) {
      const auto row = static_cast<std::size_t>(panel * kPanelRows + lane);
      sources[lane] = reinterpret_cast<const std::byte*>(bytes.data()) + row * row_bytes;
      made.meaning.push_back(oracle::weights(format, facts, bytes.data() + row * row_bytes, columns));
    }
    pack_panel(*layout, sources, columns, made.packed.data() + static_cast<std::size_t>(panel) * size);
  }
  return made;
}

constexpr float kUntouched = 12345.0f;

// out[m][rows + 1], whose last column nobody may write.
std::vector<float> product(const KernelTable& table, const Weights& weights, const std::vector<float>& x,
                           int count, const PanelRange& range) {
  const std::size_t size = activation_bytes(weights.columns);
  Buffer activations(size * static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    table.quantise_row(x.data() + i * weights.columns, weights.columns,
                       activations.data() + static_cast<std::size_t>(i) * size);
  }
  Buffer scratch(table.matmul_scratch_bytes);
  const int stride = weights.rows + 1;
  std::vector<float> out(static_cast<std::size_t>(count * stride), kUntouched);
  table.matmul(weights.layout, weights.packed.data(), range, weights.columns, activations.data(), count,
               {out.data(), stride, weights.rows, nullptr, nullptr}, scratch.data());
  return out;
}

std::vector<float> product(const KernelTable& table, const Weights& weights, const std::vector<float>& x,
                           int count) {
  return product(table, weights, x, count, {weights.panels});
}

void expect_exact(const oracle::Format& format, const Weights& weights, const std::vector<float>& x,
                  int count, const std::vector<float>& out, const std::string& where) {
  for (int i = 0; i < count; ++i) {
    const oracle::Activations row = oracle::quantise(x.data() + i * weights.columns, weights.columns);
    for (int r = 0; r < weights.rows; ++r) {
      const auto& w = weights.meaning[static_cast<std::size_t>(r)];
      const float expected = oracle::chain(format, w, row);
      const float found = out[static_cast<std::size_t>(i * (weights.rows + 1) + r)];
      ASSERT_EQ(std::bit_cast<std::uint32_t>(found), std::bit_cast<std::uint32_t>(expected))
          << where << " m " << count << " activation " << i << " row " << r << ": " << found << " for "
          << expected;
      double exact = 0;
      double size = 0;
      for (std::size_t c = 0; c < w.size(); ++c) {
        const double a = double{row.scales[c / 32]} * row.codes[c];
        const double value = double{w[c].scale} * w[c].code + double{w[c].minimum};
        exact += value * a;
        size += (std::fabs(double{w[c].scale} * w[c].code) + std::fabs(double{w[c].minimum})) * std::fabs(a);
      }
      ASSERT_NEAR(found, exact, size * 1e-7 * (weights.columns / 16 + 2)) << where;
    }
    ASSERT_EQ(out[static_cast<std::size_t>((i + 1) * (weights.rows + 1) - 1)], kUntouched) << where;
  }
}

class EveryFormat : public testing::TestWithParam<oracle::Format> {};

TEST_P(EveryFormat, IsTheContractsChainOnEveryTable) {
  const oracle::Format& format = GetParam();
  const FormatTraits& facts = traits(*dtype_from_name(format.name));
  Random random;
  for (const int rows : {5, 32, 37, 53}) {
    const int columns = facts.block_elements == 32 ? 608 : 768;
    const Weights weights = pack(format, random_rows(format, facts, rows, columns, random), rows, columns);
    for (const int count : {1, 2, 3, 4, 5, 11, 16, 24, 33, 300}) {
      std::vector<float> x(static_cast<std::size_t>(count * columns));
      for (float& value : x) value = random.normal_like();
      std::fill_n(x.begin() + 32, 32, 0.0f);  // a block of zeros
      for (const KernelTable* table : usable_tables()) {
        expect_exact(format, weights, x, count, product(*table, weights, x, count), table->name);
      }
    }
  }
}

// Streams give what a single range gives, and leave the panels between them alone.
TEST_P(EveryFormat, StreamsAreTheSameProducts) {
  const oracle::Format& format = GetParam();
  const FormatTraits& facts = traits(*dtype_from_name(format.name));
  Random random;
  const int rows = 9 * kPanelRows - 3;
  const int columns = 512;
  const Weights weights = pack(format, random_rows(format, facts, rows, columns, random), rows, columns);
  constexpr PanelRange kRanges[] = {{3, 1, 0}, {2, 4, 2}, {1, 4, 2}, {3, 2, 5}, {4, 2, 5}, {1, 2, 3}};
  for (const int count : {1, 2, 4, 7, 16, 40}) {
    const std::vector<float> x = random.normals(static_cast<std::size_t>(count * columns));
    const std::vector<float> all = product(*kernel_table("ref"), weights, x, count);
    for (const KernelTable* table : usable_tables()) {
      for (const PanelRange& range : kRanges) {
        std::vector<float> expected(all.size(), kUntouched);
        for (std::size_t i = 0; i < all.size(); ++i) {
          const auto panel = static_cast<std::int64_t>(i % (rows + 1)) / kPanelRows;
          const std::int64_t stream = range.streams == 1 ? 0 : panel / range.apart;
          if (stream < range.streams && panel - stream * range.apart < range.count) expected[i] = all[i];
        }
        EXPECT_EQ(product(*table, weights, x, count, range), expected)
            << table->name << ' ' << count << " activations, " << range.streams << " streams";
      }
    }
  }
}

TEST_P(EveryFormat, TheValuesAreThoseOfDequantise) {
  const oracle::Format& format = GetParam();
  const FormatTraits& facts = traits(*dtype_from_name(format.name));
  Random random;
  const int columns = 1024;
  const std::vector<std::uint8_t> bytes = random_rows(format, facts, 1, columns, random);
  std::vector<float> values(columns);
  facts.dequantise(reinterpret_cast<const std::byte*>(bytes.data()), values.data(), columns);
  const std::vector<oracle::Weight> found = oracle::weights(format, facts, bytes.data(), columns);
  for (std::size_t c = 0; c < values.size(); ++c) {
    const float product = static_cast<float>(found[c].code) * found[c].scale;
    ASSERT_NEAR(product + found[c].minimum, values[c],
                1e-6f * (std::fabs(product) + std::fabs(found[c].minimum)));
  }
}

// Codes and activations at their extremes: no sum may saturate or overflow on the way.
TEST_P(EveryFormat, ExtremesDoNotSaturate) {
  const oracle::Format& format = GetParam();
  const FormatTraits& facts = traits(*dtype_from_name(format.name));
  Random random;
  const int columns = 512;
  for (const int fill : {0x00, 0xff, 0x80, 0x7f, 0x88, 0x01}) {
    std::vector<std::uint8_t> bytes = random_rows(format, facts, 17, columns, random);
    std::vector<std::uint8_t> filled(bytes.size(), static_cast<std::uint8_t>(fill));
    for (std::size_t block = 0; block < bytes.size(); block += static_cast<std::size_t>(facts.block_bytes)) {
      for (const int at : format.f16_at)
        std::memcpy(&filled[block + static_cast<std::size_t>(at)],
                    &bytes[block + static_cast<std::size_t>(at)], 2);
      if (facts.dtype == DType::kIQ1_M) filled[block + 55] = 0x20;
      if (facts.dtype == DType::kMXFP4) filled[block] = 120;
    }
    const Weights weights = pack(format, filled, 17, columns);
    for (const int count : {1, 2, 7}) {
      std::vector<float> x(static_cast<std::size_t>(count * columns));
      for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = i / static_cast<std::size_t>(columns) % 2 == 0 ? 1.0f : -1.0f;
      if (count == 7) {
        for (std::size_t i = 0; i < x.size(); i += 3) x[i] = -x[i];
      }
      for (const KernelTable* table : usable_tables()) {
        expect_exact(format, weights, x, count, product(*table, weights, x, count),
                     std::string(table->name) + " filled with " + std::to_string(fill));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryFormat, testing::ValuesIn(oracle::formats()),
                         [](const auto& param) { return std::string(param.param.name); });

TEST(Panels, EveryBlockFormatHasALayoutOrNone) {
  std::vector<std::string_view> names;
  for (const oracle::Format& format : oracle::formats()) names.push_back(format.name);
  for (const FormatTraits& facts : all_formats()) {
    const bool block = std::find(names.begin(), names.end(), facts.name) != names.end();
    EXPECT_EQ(panel_layout(facts.dtype) != nullptr, block) << facts.name;
    EXPECT_EQ(facts.block_elements > 1, block) << facts.name;
  }
}

TEST(Panels, BytesPerWeightStayNearTheSource) {
  for (const char* name : {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k",
                           "iq4_nl", "iq4_xs", "mxfp4"}) {
    const FormatTraits& facts = traits(*dtype_from_name(name));
    const double source = 16.0 * 4096 / facts.block_elements * facts.block_bytes;
    const auto packed = static_cast<double>(panel_bytes(*panel_layout(facts.dtype), 4096));
    EXPECT_LE(packed, source * 1.06) << name;
    EXPECT_GE(packed, source) << name;
  }
}

TEST(Panels, PaddingRowsAreZero) {
  const PanelLayout& layout = *panel_layout(DType::kQ4_K);
  Buffer out(panel_bytes(layout, 256));
  std::memset(out.data(), 0x55, panel_bytes(layout, 256));
  const std::byte* rows[kPanelRows] = {};
  pack_panel(layout, rows, 256, out.data());
  for (std::size_t i = 0; i < panel_bytes(layout, 256); ++i) ASSERT_EQ(out.data()[i], std::byte{0});
}

TEST(QuantiseRow, IsTheSameOnEveryTable) {
  Random random;
  const int columns = 32 * 64;
  std::vector<float> x(columns);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = random.normal_like() * std::ldexp(1.0f, static_cast<int>(i / 32) - 40);
  x[40] = INFINITY;
  x[70] = NAN;
  x[100] = 1e-41f;
  std::fill_n(x.begin() + 128, 32, 1e-39f);
  Buffer first(activation_bytes(columns));
  kernel_table("ref")->quantise_row(x.data(), columns, first.data());
  const auto* blocks = reinterpret_cast<const ActivationBlock*>(first.data());
  EXPECT_TRUE(std::isinf(blocks[1].scale));
  EXPECT_TRUE(std::isnan(blocks[2].scale));
  EXPECT_EQ(blocks[4].scale, 0.0f);
  for (const KernelTable* table : usable_tables()) {
    Buffer other(activation_bytes(columns));
    table->quantise_row(x.data(), columns, other.data());
    for (int b = 0; b < columns / 32; ++b) {
      ASSERT_EQ(std::memcmp(first.data() + 64 * b, other.data() + 64 * b, 64), 0)
          << table->name << " block " << b;
    }
  }
}

}  // namespace
}  // namespace maestrale::kernels
