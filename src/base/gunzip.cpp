#include "base/gunzip.h"

#include <array>
#include <span>

namespace maestrale {
namespace {

constexpr int kMaxCodeBits = 15;
constexpr int kLiterals = 288;
constexpr int kDistances = 30;

// Bits of a byte string, least significant first. Past the end it gives zeros and remembers that it did.
class BitReader {
 public:
  explicit BitReader(std::string_view bytes) : bytes_(bytes) {}

  std::uint32_t take(int count) {
    while (held_ < count) {
      const std::uint32_t next = at_ < bytes_.size() ? static_cast<unsigned char>(bytes_[at_]) : 0u;
      overrun_ = overrun_ || at_ >= bytes_.size();
      ++at_;
      bits_ |= std::uint64_t{next} << held_;
      held_ += 8;
    }
    const auto value = static_cast<std::uint32_t>(bits_ & ((std::uint64_t{1} << count) - 1));
    bits_ >>= count;
    held_ -= count;
    return value;
  }
  // Drops the rest of a byte; the reader never holds a whole unread byte after that.
  void align() {
    bits_ = 0;
    held_ = 0;
  }
  std::string_view take_bytes(std::size_t count) {
    if (at_ > bytes_.size() || bytes_.size() - at_ < count) {
      overrun_ = true;
      return {};
    }
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  bool overrun() const { return overrun_; }
  std::size_t position() const { return at_; }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
  std::uint64_t bits_ = 0;
  int held_ = 0;
  bool overrun_ = false;
};

// A canonical Huffman code: how many codes there are of each length, and the symbols in order of their codes.
class HuffmanCode {
 public:
  // False where the lengths ask for more codes than there are.
  bool build(std::span<const std::uint8_t> lengths) {
    counts_.fill(0);
    for (const std::uint8_t length : lengths) ++counts_[length];
    counts_[0] = 0;
    int left = 1;
    std::array<int, kMaxCodeBits + 2> offsets{};
    for (std::size_t bits = 1; bits <= kMaxCodeBits; ++bits) {
      left = 2 * left - counts_[bits];
      if (left < 0) return false;
      offsets[bits + 1] = offsets[bits] + counts_[bits];
    }
    for (std::size_t symbol = 0; symbol < lengths.size(); ++symbol) {
      if (lengths[symbol] == 0) continue;
      symbols_[static_cast<std::size_t>(offsets[lengths[symbol]]++)] = static_cast<std::int16_t>(symbol);
    }
    return true;
  }
  // The next symbol, or -1 where the bits are no code.
  int next(BitReader& in) const {
    int code = 0, first = 0, index = 0;
    for (std::size_t bits = 1; bits <= kMaxCodeBits; ++bits) {
      code |= static_cast<int>(in.take(1));
      const int count = counts_[bits];
      if (code - first < count) return symbols_[static_cast<std::size_t>(index + code - first)];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    return -1;
  }

 private:
  std::array<int, kMaxCodeBits + 1> counts_{};
  std::array<std::int16_t, kLiterals> symbols_{};
};

struct Codes {
  HuffmanCode literals;
  HuffmanCode distances;
};

// RFC 1951, 3.2.6.
bool fixed_codes(Codes& codes) {
  std::array<std::uint8_t, kLiterals> lengths{};
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    lengths[i] = static_cast<std::uint8_t>(i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8);
  }
  std::array<std::uint8_t, kDistances> distances{};
  distances.fill(5);
  return codes.literals.build(lengths) && codes.distances.build(distances);
}

// RFC 1951, 3.2.7: the two codes' lengths, run-length coded by a third code.
bool read_codes(BitReader& in, Codes& codes) {
  constexpr std::array<std::size_t, 19> kOrder = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                  11, 4,  12, 3, 13, 2, 14, 1, 15};
  const std::size_t literals = in.take(5) + 257;
  const std::size_t distances = in.take(5) + 1;
  const std::size_t length_codes = in.take(4) + 4;
  if (literals > 286 || distances > kDistances) return false;
  std::array<std::uint8_t, 19> first{};
  for (std::size_t i = 0; i < length_codes; ++i) first[kOrder[i]] = static_cast<std::uint8_t>(in.take(3));
  HuffmanCode code_of_lengths;
  if (!code_of_lengths.build(first)) return false;
  std::array<std::uint8_t, kLiterals + kDistances> lengths{};
  for (std::size_t i = 0; i < literals + distances;) {
    const int symbol = code_of_lengths.next(in);
    if (symbol < 0 || (symbol == 16 && i == 0)) return false;
    std::uint32_t repeat = 1;
    std::uint8_t value = symbol < 16 ? static_cast<std::uint8_t>(symbol) : std::uint8_t{0};
    if (symbol == 16) value = lengths[i - 1];
    if (symbol == 16) repeat = 3 + in.take(2);
    if (symbol == 17) repeat = 3 + in.take(3);
    if (symbol == 18) repeat = 11 + in.take(7);
    if (i + repeat > literals + distances) return false;
    while (repeat-- > 0) lengths[i++] = value;
  }
  const std::span<const std::uint8_t> all(lengths);
  return codes.literals.build(all.first(literals)) && codes.distances.build(all.subspan(literals, distances));
}

constexpr std::array<std::uint16_t, 29> kLengthBase = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                                       15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                                       67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr std::array<std::uint8_t, 29> kLengthBits = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                      2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
constexpr std::array<std::uint16_t, kDistances> kDistanceBase = {
    1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};

enum class Step { kDone, kDamaged, kTooLarge };

Step inflate_coded(BitReader& in, const Codes& codes, std::string& out, std::size_t start,
                   std::uint64_t max_bytes) {
  for (;;) {
    const int symbol = codes.literals.next(in);
    if (symbol < 0 || in.overrun()) return Step::kDamaged;
    if (symbol == 256) return Step::kDone;
    if (symbol < 256) {
      if (out.size() >= max_bytes) return Step::kTooLarge;
      out += static_cast<char>(symbol);
      continue;
    }
    const auto of_length = static_cast<std::size_t>(symbol - 257);
    if (of_length >= kLengthBase.size()) return Step::kDamaged;
    const std::size_t length = kLengthBase[of_length] + in.take(kLengthBits[of_length]);
    const int of_distance = codes.distances.next(in);
    if (of_distance < 0 || of_distance >= kDistances) return Step::kDamaged;
    const int extra = of_distance < 2 ? 0 : of_distance / 2 - 1;
    const std::size_t distance = kDistanceBase[static_cast<std::size_t>(of_distance)] + in.take(extra);
    if (distance > out.size() - start) return Step::kDamaged;
    if (length > max_bytes || out.size() > max_bytes - length) return Step::kTooLarge;
    for (std::size_t i = 0; i < length; ++i) out += out[out.size() - distance];
  }
}

Step inflate_stored(BitReader& in, std::string& out, std::uint64_t max_bytes) {
  in.align();
  const std::uint32_t length = in.take(16);
  if ((length ^ 0xffffu) != in.take(16)) return Step::kDamaged;
  const std::string_view part = in.take_bytes(length);
  if (in.overrun()) return Step::kDamaged;
  if (length > max_bytes || out.size() > max_bytes - length) return Step::kTooLarge;
  out += part;
  return Step::kDone;
}

// One deflate stream, appended to `out`.
Step inflate(BitReader& in, std::string& out, std::uint64_t max_bytes) {
  const std::size_t start = out.size();
  for (bool last = false; !last;) {
    last = in.take(1) != 0;
    const std::uint32_t type = in.take(2);
    Step step = Step::kDamaged;
    Codes codes;
    if (type == 0) step = inflate_stored(in, out, max_bytes);
    if (type == 1 && fixed_codes(codes)) step = inflate_coded(in, codes, out, start, max_bytes);
    if (type == 2 && read_codes(in, codes)) step = inflate_coded(in, codes, out, start, max_bytes);
    if (step != Step::kDone) return step;
  }
  in.align();
  return in.overrun() ? Step::kDamaged : Step::kDone;
}

std::uint32_t crc32(std::string_view bytes) {
  static constexpr auto kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320u : 0u);
      table[i] = value;
    }
    return table;
  }();
  std::uint32_t crc = 0xffffffffu;
  for (const char byte : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(byte)) & 0xffu];
  return crc ^ 0xffffffffu;
}

// RFC 1952, 2.3: skips a member's header; false where it is not one.
bool skip_header(BitReader& in) {
  constexpr std::uint32_t kHeaderCrc = 2, kExtra = 4, kName = 8, kComment = 16;
  if (in.take(16) != 0x8b1fu || in.take(8) != 8) return false;
  const std::uint32_t flags = in.take(8);
  in.take_bytes(6);  // time, hints, system
  if ((flags & kExtra) != 0) in.take_bytes(in.take(16));
  for (const std::uint32_t field : {kName, kComment}) {
    while ((flags & field) != 0 && in.take(8) != 0) {
      if (in.overrun()) return false;
    }
  }
  if ((flags & kHeaderCrc) != 0) in.take(16);
  return !in.overrun();
}

}  // namespace

Result<std::string> gunzip(std::string_view bytes, const std::string& where, std::uint64_t max_bytes) {
  std::string out;
  for (BitReader in(bytes); in.position() < bytes.size() || bytes.empty();) {
    const std::size_t start = out.size();
    const std::size_t at = in.position();
    if (!skip_header(in)) {
      return Error{.what = "not a gzip member", .where = where, .found = "at byte " + std::to_string(at)};
    }
    const Step step = inflate(in, out, max_bytes);
    if (step == Step::kTooLarge) {
      return Error{.kind = ErrorKind::kResource,
                   .what = "the decompressed data is too large",
                   .where = where,
                   .expected = "at most " + std::to_string(max_bytes) + " bytes"};
    }
    const std::uint32_t crc = in.take(32);
    const std::uint32_t size = in.take(32);
    const std::string_view member = std::string_view(out).substr(start);
    if (step != Step::kDone || in.overrun() || crc != crc32(member) ||
        size != static_cast<std::uint32_t>(member.size())) {
      return Error{.what = "the gzip data is damaged or cut off", .where = where};
    }
  }
  return out;
}

}  // namespace maestrale
