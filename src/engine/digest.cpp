#include "engine/digest.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <charconv>

namespace maestrale::engine {

std::string Digest::hex() const { return fmt::format("{:016x}{:016x}", high, low); }

std::optional<Digest> digest_from_hex(std::string_view text) {
  if (text.size() != 32) return std::nullopt;
  Digest digest;
  const char* const middle = text.data() + 16;
  const auto high = std::from_chars(text.data(), middle, digest.high, 16);
  const auto low = std::from_chars(middle, middle + 16, digest.low, 16);
  const bool read = high.ec == std::errc() && low.ec == std::errc() && digest.hex() == text;
  return read ? std::optional(digest) : std::nullopt;
}

Digest digest_of(std::span<const std::byte> bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

Digest digest_of(std::string_view text) {
  return digest_of(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace maestrale::engine
