#include "kernels/dispatch.h"

#include <cpuid.h>

#include <cstdlib>
#include <string>

#include "kernels/isa/tables.h"

namespace maestrale::kernels {
namespace {

// Which vector state the system saves on a task switch (XCR0). Only valid where CPUID reports OSXSAVE.
unsigned long long enabled_state() {
  unsigned low = 0;
  unsigned high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<unsigned long long>(high) << 32) | low;
}

struct Features {
  bool avx2 = false;
  bool avx512 = false;
};

Features detect() {
  Features found;
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return found;
  const bool base = (c & bit_OSXSAVE) && (c & bit_AVX) && (c & bit_FMA) && (c & bit_F16C);
  if (!base) return found;
  const unsigned long long state = enabled_state();
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  found.avx2 = (state & 0x6) == 0x6 && (b & bit_AVX2);
  constexpr unsigned kNeedB = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  found.avx512 = found.avx2 && (state & 0xe6) == 0xe6 && (b & kNeedB) == kNeedB && (c & bit_AVX512VNNI);
  return found;
}

}  // namespace

std::vector<const KernelTable*> usable_tables() {
  static const Features features = detect();
  std::vector<const KernelTable*> tables = {&ref_table()};
  if (features.avx2) tables.push_back(&avx2_table());
  if (features.avx512) tables.push_back(&avx512_table());
  return tables;
}

const KernelTable* kernel_table(std::string_view name) {
  for (const KernelTable* table : usable_tables()) {
    if (name == table->name) return table;
  }
  return nullptr;
}

Result<const KernelTable*> default_table() {
  const std::vector<const KernelTable*> tables = usable_tables();
  const char* wanted = std::getenv("MAESTRALE_ISA");
  if (wanted == nullptr || *wanted == '\0') return tables.back();
  if (const KernelTable* table = kernel_table(wanted)) return table;
  std::string names;
  for (const KernelTable* table : tables) names += (names.empty() ? "" : ", ") + std::string(table->name);
  return Error{.kind = ErrorKind::kUsage,
               .what = "no such instruction set on this machine",
               .where = "MAESTRALE_ISA",
               .expected = names,
               .found = wanted,
               .hint = "unset it to use the fastest"};
}

}  // namespace maestrale::kernels
