// quants/: raw blocks of every storage type against their exact values, compared bit for bit.
#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/file.h"
#include "read.h"
#include "sections.h"
#include "tensor/dtype.h"

namespace maestrale::golden {
namespace {

namespace fs = std::filesystem;

// "" where the values agree in every bit.
std::string compare_bits(const std::vector<float>& got, const std::vector<float>& expected) {
  if (got.size() != expected.size())
    return fmt::format("{} values, expected {}", got.size(), expected.size());
  std::size_t wrong = 0, first = 0;
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(got[i]) == std::bit_cast<std::uint32_t>(expected[i])) continue;
    if (wrong++ == 0) first = i;
    largest = std::max(
        largest, std::abs(double{got[i]} - double{expected[i]}) / (std::abs(double{expected[i]}) + 1e-30));
  }
  if (wrong == 0) return {};
  return fmt::format(
      "{} of {} values differ, by {:.3g} relative at most; the first at {}: {:.9g}, expected {:.9g}", wrong,
      got.size(), largest, first, got[first], expected[first]);
}

Result<std::vector<float>> dequantise(const FormatTraits& format, const std::string& blocks) {
  const std::size_t count = blocks.size() / static_cast<std::size_t>(format.block_bytes);
  if (blocks.size() != count * static_cast<std::size_t>(format.block_bytes)) {
    return Error{.what = "not a whole number of blocks", .where = std::string(format.name)};
  }
  std::vector<float> values(count * static_cast<std::size_t>(format.block_elements));
  format.dequantise(reinterpret_cast<const std::byte*>(blocks.data()), values.data(),
                    static_cast<std::int64_t>(values.size()));
  return values;
}

Result<const FormatTraits*> find_format(const std::string& name) {
  const auto dtype = dtype_from_name(name);
  if (!dtype)
    return Error{.kind = ErrorKind::kUnsupported, .what = "no such storage type here", .where = name};
  const FormatTraits& format = traits(*dtype);
  if (format.dequantise == nullptr) {
    return Error{
        .kind = ErrorKind::kUnsupported, .what = "this storage type cannot be read here", .where = name};
  }
  return &format;
}

Status check_blocks(const fs::path& folder, const std::string& name, const std::string& variant,
                    Report& report) {
  const std::string stem = name + variant;
  const std::string case_name = "quants/" + stem;
  if (!report.wants(case_name) || !fs::exists(folder / (stem + ".bin"))) return {};
  const auto format = find_format(name);
  if (!format.ok()) {
    report.fail(case_name, format.error().render());
    return {};
  }
  const std::vector<float> expected = TRY(read_floats(folder / (stem + ".f32")));
  const auto values = dequantise(**format, TRY(read_file(folder / (stem + ".bin"), kMaxGoldenBytes)));
  report.judge(case_name, values.ok() ? compare_bits(*values, expected) : values.error().render());
  return {};
}

// FP8 codes with one scale for each 128×128 block; blocks at the edges are cut off.
Status check_fp8(const fs::path& folder, const std::string& stem, std::int64_t columns, Report& report) {
  const std::string case_name = "quants/" + stem;
  if (!report.wants(case_name) || !fs::exists(folder / (stem + ".bin"))) return {};
  const auto format = find_format("f8_e4m3");
  if (!format.ok()) {
    report.fail(case_name, format.error().render());
    return {};
  }
  const std::vector<float> expected = TRY(read_floats(folder / (stem + ".f32")));
  const std::vector<float> scales = TRY(read_floats(folder / (stem + ".scale_inv.f32")));
  std::vector<float> values =
      TRY(dequantise(**format, TRY(read_file(folder / (stem + ".bin"), kMaxGoldenBytes))));
  const auto width = static_cast<std::size_t>(columns);
  const std::size_t blocks_per_row = (width + 127) / 128;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t block = i / width / 128 * blocks_per_row + i % width / 128;
    if (block >= scales.size()) return Error{.what = "too few scales", .where = stem};
    values[i] *= scales[block];
  }
  report.judge(case_name, compare_bits(values, expected));
  return {};
}

}  // namespace

Status run_quants(const fs::path& folder, const Places&, Report& report) {
  const std::string where = folder / "index.json";
  const json::value index = TRY(read_json(where));
  const JsonFields fields(*TRY(object_of(index, where)), where);
  for (const json::value& type : *TRY(fields.array("types"))) {
    const std::string name = TRY(JsonFields(*TRY(object_of(type, where)), where).string("name"));
    TRY(check_blocks(folder, name, "", report));
    TRY(check_blocks(folder, name, ".random", report));
  }
  for (const json::value& scaled : *TRY(fields.array("fp8"))) {
    const JsonFields item(*TRY(object_of(scaled, where)), where);
    const auto shape = TRY(token_ids(*TRY(item.array("shape")), where));
    if (shape.size() != 2 || shape[1] < 1)
      return Error{.what = "an FP8 matrix needs two sizes", .where = where};
    TRY(check_fp8(folder, TRY(item.string("name")), shape[1], report));
  }
  return {};
}

}  // namespace maestrale::golden
