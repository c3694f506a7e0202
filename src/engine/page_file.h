// One KV page as a file: who computed it, from which tokens, its bytes, and a digest over all of that. A file
// that is not exactly what was asked for is as good as none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/prefix_cache.h"

namespace maestrale::engine {

// What a page's bytes follow from; it stands at the head of the file and is compared as a whole.
struct PageOrigin {
  Digest model;
  PrefixKey before, key;              // of the page before it, and its own
  std::string salt;                   // whose it is
  std::vector<text::TokenId> tokens;  // kPageTokens
};

// Page `index` of a history. The model is for the store to say.
PageOrigin origin_of(const std::string& salt, std::span<const PrefixKey> keys,
                     std::span<const text::TokenId> tokens, std::int64_t index);

enum class PageRead {
  kRead,
  kMissing,
  kDamaged,  // cut, changed, or another's: to be deleted
  kFailed,   // the disk does not give it
};

class PageFile {
 public:
  // Bytes of a file beside those of the page.
  static std::size_t head_bytes(const PageOrigin& origin);
  // The file is readable for this user alone, and appears whole or not at all. `nonce` tells apart those that
  // write at the same time. kIo: no room, no such folder.
  static Status write(const std::filesystem::path& path, const PageOrigin& origin,
                      std::span<const std::byte> page, std::uint64_t nonce);
  // `page`: bytes that mean something only after kRead.
  static PageRead read(const std::filesystem::path& path, const PageOrigin& origin,
                       std::span<std::byte> page);
};

// "PATH.partial-…": left over by a program that was killed.
bool is_partial_page(const std::filesystem::path& path);

}  // namespace maestrale::engine
