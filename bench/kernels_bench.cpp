// Speed of the quantised kernels and of attention beside what the same core can do in the same run: dot
// products on registers alone, loads alone. kernels_bench [--isa NAME] [--format NAME] [--threads N] [--m N]
// [--seconds S]
// `--format attention` runs the rows of attention alone.
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory.h"
#include "base/threads.h"
#include "kernels/attention_tile.h"
#include "kernels/dispatch.h"
#include "kernels/latent_tile.h"
#include "kernels/panels.h"
#include "support.h"

namespace maestrale::kernels {
namespace {

struct Options {
  std::string isa;
  std::string format;
  int threads = 1;
  int only_m = 0;
  double seconds = 1;
};

constexpr std::int64_t kColumns = 4096;
constexpr std::int64_t kChunk = 8;  // panels that a worker takes at a time
constexpr std::int64_t kPieceBytes = 16 << 20;
constexpr std::int64_t kPieceOps =
    400'000'000;            // of one timed run: short, to fit between other programs' turns
constexpr int kPages = 64;  // of one sequence and KV head: 4,096 keys
constexpr std::size_t kWeightBytes = std::size_t{256} << 20;  // beyond every cache

class Bench {
 public:
  Bench(const Options& options, const KernelTable& table)
      : options_(options),
        table_(table),
        pool_(options.threads),
        weights_(std::move(HugeBuffer::allocate(kWeightBytes + (1 << 20))).value()) {
    for (int i = 0; i < options.threads; ++i) scratch_.emplace_back(table.matmul_scratch_bytes);
  }

  void yardsticks() {
    constexpr std::int64_t kDots = 12'000'000;
    const double dots = best_seconds(options_.seconds, [&] {
      pool_.run(options_.threads, [&](std::int64_t, int) { keep_ += table_.dot_yardstick(kDots); });
    });
    peak_ops_ = 128.0 * static_cast<double>(kDots) * options_.threads / dots;
    measure_reads();
    fmt::print("{} {} thread(s): dots {:.0f} GOP/s, reads {:.1f} GB/s\n", table_.name, options_.threads,
               peak_ops_ / 1e9, peak_bytes_ / 1e9);
  }

  void attention() {
    std::memset(weights_.data(), 0, kWeightBytes);
    for (int i = 0; i < options_.threads; ++i) attention_scratch_.emplace_back(std::size_t{1} << 18);
    for (const KvType type : {KvType::kF16, KvType::kQ8}) {
      for (const int head_size : {64, 128}) {
        for (const int rows : {1, 4, 8, 32}) attention_row(type, head_size, rows);
      }
      for (const int rows : {8, 16, 32}) latent_row(type, rows);
    }
  }

  void format(const FormatTraits& facts) {
    const PanelLayout* layout = panel_layout(facts.dtype);
    const std::size_t bytes = panel_bytes(*layout, kColumns);
    pack(*layout, facts, bytes);
    for (const int m : {1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 512}) {
      if (options_.only_m == 0 || options_.only_m == m) row(*layout, facts, bytes, m);
    }
  }

 private:
  void measure_reads() {
    constexpr std::size_t kPart = std::size_t{16} << 20;
    std::size_t at = 0;
    const double reads = best_seconds(options_.seconds, [&] {
      const std::byte* part = weights_.data() + at;
      at = (at + kPart) % kWeightBytes;
      const std::size_t chunk = std::size_t{1} << 18;
      pool_.run(static_cast<std::int64_t>(kPart / chunk), [&](std::int64_t i, int) {
        keep_ += table_.read_yardstick(part + static_cast<std::size_t>(i) * chunk, chunk);
      });
    });
    peak_bytes_ = std::max(peak_bytes_, static_cast<double>(kPart) / reads);
  }

  void pack(const PanelLayout& layout, const FormatTraits& facts, std::size_t bytes) {
    const auto row_bytes = static_cast<std::size_t>(kColumns / facts.block_elements * facts.block_bytes);
    Lines source(row_bytes * kPanelRows);
    std::uint32_t state = 1;
    for (std::size_t i = 0; i < row_bytes * kPanelRows; ++i) {
      state = state * 1664525u + 1013904223u;
      source.data()[i] = static_cast<std::byte>((state >> 24) & 0x3b);  // every f16 in it is finite
    }
    const std::byte* rows[kPanelRows];
    for (std::size_t r = 0; r < kPanelRows; ++r) rows[r] = source.data() + r * row_bytes;
    const double start = now();
    std::size_t at = 0;
    for (; at + bytes <= kWeightBytes; at += bytes) pack_panel(layout, rows, kColumns, weights_.data() + at);
    fmt::print("{}: packs {:.2f} GB/s\n", facts.name, static_cast<double>(at) / 1e9 / (now() - start));
  }

  // `rows` queries of a late token against all keys of a sequence, one KV head after the other.
  void attention_row(KvType type, int head_size, int rows) {
    const KvHeadLayout layout = kv_head_layout(type, head_size);
    const std::size_t plane = layout.bytes * kPages;
    const auto planes = static_cast<std::int64_t>(kWeightBytes / plane);
    const auto at_once =
        std::max<std::int64_t>(options_.threads, kPieceOps / (4 * kPages * kPageTokens * head_size * rows));
    const std::vector<float> queries(static_cast<std::size_t>(rows * head_size), 0.01f);
    const std::vector<std::int32_t> positions(static_cast<std::size_t>(rows), kPages * kPageTokens - 1);
    std::int64_t first = 0;
    const double seconds = best_seconds(options_.seconds, [&] {
      pool_.run(at_once, [&](std::int64_t i, int worker) {
        const std::byte* base = weights_.data() + static_cast<std::size_t>((first + i) % planes) * plane;
        const std::byte* pages[kPages];
        for (std::size_t page = 0; page < kPages; ++page) pages[page] = base + page * layout.bytes;
        AttentionTile tile{.type = type,
                           .layout = layout,
                           .rows = rows,
                           .queries = queries.data(),
                           .positions = positions.data(),
                           .pages = pages};
        std::byte* memory = attention_scratch_[static_cast<std::size_t>(worker)].data();
        tile.out = reinterpret_cast<float*>(place_scratch(tile, memory, head_size));
        table_.attend(tile);
      });
      first = (first + at_once) % planes;
    });
    measure_reads();
    const double keys = static_cast<double>(at_once) * kPages * kPageTokens;
    const double ops = 4.0 * keys * head_size * rows / seconds;
    const double rate = static_cast<double>(at_once) * static_cast<double>(plane) / seconds;
    print_attention("attention", type, head_size, rows, ops, rate, seconds * options_.threads / keys / rows);
  }

  // `rows` queries (heads of a token, or of several) against all keys of a sequence, one layer after the
  // other; rows of DeepSeek's shape.
  void latent_row(KvType type, int rows) {
    constexpr int kLatent = 512, kSize = kLatent + 64;
    const KvRowsLayout layout = kv_rows_layout(type, kSize);
    const std::size_t plane = layout.bytes * kPages;
    const auto planes = static_cast<std::int64_t>(kWeightBytes / plane);
    const std::vector<float> queries(static_cast<std::size_t>(rows * kSize), 0.01f);
    const std::vector<std::int32_t> positions(static_cast<std::size_t>(rows), kPages * kPageTokens - 1);
    std::int64_t first = 0;
    const double seconds = best_seconds(options_.seconds, [&] {
      pool_.run(options_.threads, [&](std::int64_t i, int worker) {
        const std::byte* base = weights_.data() + static_cast<std::size_t>((first + i) % planes) * plane;
        const std::byte* pages[kPages];
        for (std::size_t page = 0; page < kPages; ++page) pages[page] = base + page * layout.bytes;
        LatentTile tile;
        tile.type = type;
        tile.layout = layout;
        tile.value_size = kLatent;
        tile.rows = rows;
        tile.queries = queries.data();
        tile.positions = positions.data();
        tile.pages = pages;
        std::byte* memory = attention_scratch_[static_cast<std::size_t>(worker)].data();
        auto* rest = reinterpret_cast<float*>(place_scratch(tile, memory, kSize));
        tile.result = {rest + 2 * kMaxTileRows, rest};
        tile.end_page = kPages;
        table_.attend_latent(tile);
      });
      first = (first + options_.threads) % planes;
    });
    measure_reads();
    const double keys = static_cast<double>(options_.threads) * kPages * kPageTokens;
    print_attention("latent   ", type, kSize, rows, 2.0 * keys * (kSize + kLatent) * rows / seconds,
                    static_cast<double>(options_.threads) * static_cast<double>(plane) / seconds,
                    seconds * options_.threads / keys / rows);
  }

  void print_attention(const char* name, KvType type, int size, int rows, double ops, double rate,
                       double row_seconds) const {
    fmt::print(
        "{} {} head {:3}, {:2} rows: {:7.1f} GOP/s {:3.0f} %   {:5.1f} GB/s {:3.0f} %   {:.3f} "
        "ns/key/row\n",
        name, type == KvType::kF16 ? "f16" : "q8 ", size, rows, ops / 1e9, 100 * ops / peak_ops_, rate / 1e9,
        100 * rate / peak_bytes_, row_seconds * 1e9);
  }

  // m activations, piece by piece of the weights.
  void row(const PanelLayout& layout, const FormatTraits& facts, std::size_t bytes, int m) {
    const std::size_t stride = activation_bytes(kColumns);
    Lines activations(stride * static_cast<std::size_t>(m));
    std::vector<float> x(kColumns);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) - 8.0f;
    for (int i = 0; i < m; ++i) {
      table_.quantise_row(x.data(), kColumns, activations.data() + static_cast<std::size_t>(i) * stride);
    }
    const auto all = static_cast<std::int64_t>(kWeightBytes / bytes);
    const std::int64_t panels =
        std::min(all, std::max<std::int64_t>(kChunk, kPieceOps / (kColumns * m * 32)) * options_.threads);
    const std::int64_t out_stride = panels * kPanelRows;
    std::vector<float> out(static_cast<std::size_t>(out_stride * m));
    std::int64_t piece = 0;  // walks through all of the weights, so that none is in a cache
    const double seconds = best_seconds(options_.seconds, [&] {
      const std::int64_t begin = piece * panels;
      piece = (piece + 2) * panels <= all ? piece + 1 : 0;
      pool_.run((panels + kChunk - 1) / kChunk, [&](std::int64_t chunk, int worker) {
        const std::int64_t first = chunk * kChunk;
        const std::int64_t count = std::min(kChunk, panels - first);
        table_.matmul(&layout, weights_.data() + static_cast<std::size_t>(begin + first) * bytes, {count},
                      kColumns, activations.data(), m,
                      {out.data() + first * kPanelRows, out_stride, count * kPanelRows, nullptr, nullptr},
                      scratch_[static_cast<std::size_t>(worker)].data());
      });
    });
    if (m <= 16) measure_reads();
    const double ops = 2.0 * static_cast<double>(panels * kPanelRows * kColumns) * m / seconds;
    const double rate = static_cast<double>(panels) * static_cast<double>(bytes) / seconds;
    if (m == 1) alone_ = ops;
    fmt::print("{:8} m {:3}: {:7.1f} GOP/s {:3.0f} %   {:5.1f} GB/s {:3.0f} %   {:4.1f} x m=1\n", facts.name,
               m, ops / 1e9, 100 * ops / peak_ops_, rate / 1e9, 100 * rate / peak_bytes_, ops / alone_);
  }

  Options options_;
  const KernelTable& table_;
  ThreadPool pool_;
  HugeBuffer weights_;
  std::vector<Lines> scratch_, attention_scratch_;
  std::atomic<std::int32_t> keep_ = 0;
  double peak_ops_ = 1;
  double peak_bytes_ = 0;
  double alone_ = 1;
};

int run(const Options& options) {
  const Result<const KernelTable*> fastest = default_table();
  const KernelTable* table = options.isa.empty() && fastest.ok() ? *fastest : kernel_table(options.isa);
  if (table == nullptr) {
    fmt::print(stderr, "no such instruction set on this machine: {}\n", options.isa);
    return 2;
  }
  Bench bench(options, *table);
  bench.yardsticks();
  for (const FormatTraits& facts : all_formats()) {
    const bool wanted = options.format.empty() || facts.name == options.format;
    if (wanted && panel_layout(facts.dtype) != nullptr) bench.format(facts);
  }
  if (options.format.empty() || options.format == "attention") bench.attention();
  return 0;
}

}  // namespace
}  // namespace maestrale::kernels

int main(int argc, char** argv) {
  maestrale::kernels::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--isa") options.isa = argv[i + 1];
    if (name == "--format") options.format = argv[i + 1];
    if (name == "--threads") options.threads = std::max(1, std::atoi(argv[i + 1]));
    if (name == "--m") options.only_m = std::atoi(argv[i + 1]);
    if (name == "--seconds") options.seconds = std::atof(argv[i + 1]);
  }
  return maestrale::kernels::run(options);
}
