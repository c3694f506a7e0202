#include "engine/page_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace maestrale::engine {
namespace {

constexpr char kMagic[16] = {'m', 'a', 'e', 's', 't', 'r', 'a', 'l', 'e', ' ', 'p', 'a', 'g', 'e', ' ', '1'};
constexpr std::string_view kPartial = ".partial-";

struct Head {
  char magic[sizeof(kMagic)];
  Digest all;  // of everything behind it
  Digest model, before, key;
  std::uint64_t salt_bytes, tokens, page_bytes;
};

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

Digest digest_of_both(std::string_view head, std::span<const std::byte> page) {
  const std::array<Digest, 2> parts{digest_of(head.substr(offsetof(Head, model))), digest_of(page)};
  return digest_of(std::as_bytes(std::span(parts)));
}

// Everything before the page, without the digest.
std::string head_of(const PageOrigin& origin, std::size_t page_bytes) {
  Head head{.magic = {},
            .all = {},
            .model = origin.model,
            .before = origin.before,
            .key = origin.key,
            .salt_bytes = origin.salt.size(),
            .tokens = origin.tokens.size(),
            .page_bytes = page_bytes};
  std::memcpy(head.magic, kMagic, sizeof(kMagic));
  std::string text(reinterpret_cast<const char*>(&head), sizeof(head));
  text += origin.salt;
  text.append(reinterpret_cast<const char*>(origin.tokens.data()),
              origin.tokens.size() * sizeof(text::TokenId));
  return text;
}

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

bool read_all(int fd, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::read(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

PageOrigin origin_of(const std::string& salt, std::span<const PrefixKey> keys,
                     std::span<const text::TokenId> tokens, std::int64_t index) {
  const auto at = static_cast<std::size_t>(index);
  const auto page = tokens.subspan(at * ops::kPageTokens, ops::kPageTokens);
  return {.model = {},
          .before = index == 0 ? prefix_root(salt) : keys[at - 1],
          .key = keys[at],
          .salt = salt,
          .tokens = {page.begin(), page.end()}};
}

std::size_t PageFile::head_bytes(const PageOrigin& origin) {
  return sizeof(Head) + origin.salt.size() + origin.tokens.size() * sizeof(text::TokenId);
}

Status PageFile::write(const std::filesystem::path& path, const PageOrigin& origin,
                       std::span<const std::byte> page, std::uint64_t nonce) {
  std::string head = head_of(origin, page.size());
  const Digest all = digest_of_both(head, page);
  std::memcpy(head.data() + offsetof(Head, all), &all, sizeof(all));
  const std::string partial = fmt::format("{}{}{}-{}", path.string(), kPartial, ::getpid(), nonce);
  const auto failed = [&](int code) {
    ::unlink(partial.c_str());
    return Error{.kind = ErrorKind::kIo,
                 .what = fmt::format("cannot write: {}", std::strerror(code)),
                 .where = path.string()};
  };
  Descriptor file{::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (file.fd < 0) return failed(errno);
  if (!write_all(file.fd, std::as_bytes(std::span(head))) || !write_all(file.fd, page)) return failed(errno);
  if (::close(std::exchange(file.fd, -1)) != 0) return failed(errno);
  if (::rename(partial.c_str(), path.c_str()) != 0) return failed(errno);
  return {};
}

PageRead PageFile::read(const std::filesystem::path& path, const PageOrigin& origin,
                        std::span<std::byte> page) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
  if (file.fd < 0) return errno == ENOENT ? PageRead::kMissing : PageRead::kFailed;
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) return PageRead::kFailed;
  const std::string expected = head_of(origin, page.size());
  if (!S_ISREG(info.st_mode) || static_cast<std::uint64_t>(info.st_size) != expected.size() + page.size())
    return PageRead::kDamaged;
  std::string head(expected.size(), '\0');
  errno = 0;
  if (!read_all(file.fd, std::as_writable_bytes(std::span(head))) || !read_all(file.fd, page))
    return errno == 0 ? PageRead::kDamaged : PageRead::kFailed;
  Digest all;
  std::memcpy(&all, head.data() + offsetof(Head, all), sizeof(all));
  std::memset(head.data() + offsetof(Head, all), 0, sizeof(all));
  return head == expected && all == digest_of_both(head, page) ? PageRead::kRead : PageRead::kDamaged;
}

bool is_partial_page(const std::filesystem::path& path) {
  return path.filename().string().find(kPartial) != std::string::npos;
}

}  // namespace maestrale::engine
