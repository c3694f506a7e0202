// Digest: 128 bits of XXH3. It tells apart what differs by chance or by mistake; it is no signature.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace maestrale::engine {

struct Digest {
  std::uint64_t low = 0, high = 0;
  bool operator==(const Digest&) const = default;
  std::string hex() const;  // 32 digits
};
struct DigestHash {
  std::size_t operator()(const Digest& digest) const { return digest.low; }
};

// What hex() wrote; nothing where it is not such a text.
std::optional<Digest> digest_from_hex(std::string_view text);

Digest digest_of(std::span<const std::byte> bytes);
Digest digest_of(std::string_view text);

}  // namespace maestrale::engine
