#include "ops/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>
#include <string>
#include <utility>

#include "base/check.h"

namespace maestrale::ops {

std::string_view kv_type_name(KvType type) {
  return type == KvType::kF32 ? "f32" : type == KvType::kF16 ? "f16" : "q8";
}

std::optional<KvType> kv_type_from_name(std::string_view name) {
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8}) {
    if (kv_type_name(type) == name) return type;
  }
  return std::nullopt;
}

void PageParts::copy_to(std::byte* out) const {
  for (std::int64_t plane = 0; plane < planes; ++plane, out += part_bytes)
    std::memcpy(out, first + static_cast<std::size_t>(plane) * stride, part_bytes);
}

void PageParts::copy_from(const std::byte* in) const {
  for (std::int64_t plane = 0; plane < planes; ++plane, in += part_bytes)
    std::memcpy(first + static_cast<std::size_t>(plane) * stride, in, part_bytes);
}

Result<KvCache> KvCache::create(const KvShape& shape, std::int64_t pages, std::int64_t sequences) {
  const bool keeps_keys = shape.kv_heads > 0 && shape.head_size > 0;
  CHECK(pages >= 0 && shape.layers > 0 && (keeps_keys || shape.state.layer() > 0),
        "a KV shape has positive sizes");
  if (pages > std::numeric_limits<Page>::max()) {
    return Error{.kind = ErrorKind::kResource,
                 .what = "the KV cache would need more pages than can be counted"};
  }
  KvCache cache;
  cache.shape_ = shape;
  cache.total_ = pages;
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(shape.page_bytes(), static_cast<std::size_t>(pages), &bytes)) {
    return Error{.kind = ErrorKind::kResource,
                 .what = "the KV cache would need more bytes than can be counted"};
  }
  cache.pool_ = TRY(HugeBuffer::allocate(bytes));
  TRY(cache.pool_.populate());
  if (shape.state_bytes() > 0) {
    cache.states_ = TRY(HugeBuffer::allocate(shape.state_bytes() * static_cast<std::size_t>(sequences)));
    TRY(cache.states_.populate());
    cache.state_sequences_ = sequences;
  }
  cache.users_.resize(static_cast<std::size_t>(pages));
  cache.held_.resize(static_cast<std::size_t>(pages));
  cache.free_.reserve(static_cast<std::size_t>(pages));
  for (std::int64_t page = pages - 1; page >= 0; --page) cache.free_.push_back(static_cast<Page>(page));
  return cache;
}

int KvCache::open_sequence() {
  for (std::size_t index = 0; index < sequences_.size(); ++index) {
    if (sequences_[index].open) continue;
    sequences_[index].open = true;
    return static_cast<int>(index);
  }
  sequences_.push_back({.open = true, .pages = {}, .numbers = {}, .state_tokens = 0, .recent = {}});
  return static_cast<int>(sequences_.size()) - 1;
}

void KvCache::close_sequence(int sequence) {
  truncate(sequence, 0);
  sequences_[static_cast<std::size_t>(sequence)].open = false;
}

Error KvCache::full(const Sequence& entry, std::int64_t tokens) const {
  return {.kind = ErrorKind::kResource,
          .what = "the KV cache is full",
          .expected = std::to_string((free_.size() + entry.pages.size()) * kPageTokens) + " tokens at most",
          .found = std::to_string(tokens) + " tokens",
          .hint = "use a larger --context or a smaller prompt"};
}

KvCache::Page KvCache::take() {
  const Page page = free_.back();
  free_.pop_back();
  users_[static_cast<std::size_t>(page)] = 1;
  return page;
}

void KvCache::use(Page page) {
  const auto index = static_cast<std::size_t>(page);
  if (users_[index]++ == 0) --idle_;
}

void KvCache::leave(Page page) {
  const auto index = static_cast<std::size_t>(page);
  if (--users_[index] > 0) return;
  if (held_[index]) {
    ++idle_;
  } else {
    free_.push_back(page);
  }
}

void KvCache::hold(Page page) {
  const auto index = static_cast<std::size_t>(page);
  CHECK(users_[index] > 0 && !held_[index], "a page is held once, while a sequence uses it");
  held_[index] = true;
}

void KvCache::let_go(Page page) {
  const auto index = static_cast<std::size_t>(page);
  CHECK(held_[index], "only a held page can be let go");
  held_[index] = false;
  if (users_[index] > 0) return;
  --idle_;
  free_.push_back(page);
}

void KvCache::copy(Page from, Page to) {
  for (int layer = 0; layer < shape_.layers; ++layer) {
    for (int head = 0; head < shape_.kv_heads; ++head) {
      const std::size_t plane = plane_offset(layer, head);
      std::memcpy(address(to) + plane, address(from) + plane, shape_.part_bytes());
    }
  }
}

Status KvCache::reserve(int sequence, std::int64_t tokens) {
  Sequence& entry = sequences_[static_cast<std::size_t>(sequence)];
  CHECK(entry.open, "reserve on a closed sequence");
  if (shape_.state_bytes() > 0 && sequence >= state_sequences_) {
    return Error{.kind = ErrorKind::kResource,
                 .what = "no state is left for another sequence",
                 .expected = std::to_string(state_sequences_) + " sequences at most"};
  }
  const auto wanted = static_cast<std::size_t>(KvShape::pages_for(tokens));
  if (wanted <= entry.pages.size()) return {};
  if (wanted - entry.pages.size() > free_.size()) return full(entry, tokens);
  while (entry.pages.size() < wanted) {
    entry.numbers.push_back(take());
    entry.pages.push_back(address(entry.numbers.back()));
  }
  return {};
}

std::int64_t KvCache::pages_to_write(int sequence, std::int64_t from, std::int64_t to) const {
  const Sequence& entry = sequences_[static_cast<std::size_t>(sequence)];
  const auto have = static_cast<std::int64_t>(entry.pages.size());
  std::int64_t pages = std::max<std::int64_t>(KvShape::pages_for(to) - have, 0);
  for (std::int64_t index = from / kPageTokens; index < std::min(have, KvShape::pages_for(to)); ++index) {
    pages += is_shared(entry.numbers[static_cast<std::size_t>(index)]) ? 1 : 0;
  }
  return pages;
}

Status KvCache::reserve_to_write(int sequence, std::int64_t from, std::int64_t to) {
  Sequence& entry = sequences_[static_cast<std::size_t>(sequence)];
  const auto had = static_cast<std::int64_t>(entry.pages.size());
  if (pages_to_write(sequence, from, to) > free_pages()) return full(entry, to);
  TRY(reserve(sequence, to));
  for (std::int64_t index = from / kPageTokens; index < std::min(had, KvShape::pages_for(to)); ++index) {
    const auto at = static_cast<std::size_t>(index);
    if (!is_shared(entry.numbers[at])) continue;
    const Page own = take();
    copy(entry.numbers[at], own);
    leave(std::exchange(entry.numbers[at], own));
    entry.pages[at] = address(own);
  }
  return {};
}

Result<int> KvCache::fork(int sequence, std::int64_t tokens) {
  const bool has_states = shape_.state_bytes() > 0;
  CHECK(!has_states || state_tokens(sequence) == tokens, "a state cannot go back in time");
  const int made = open_sequence();
  if (Status status = reserve(made, 0); !status.ok()) {
    close_sequence(made);
    return std::move(status).error();
  }
  Sequence& to = sequences_[static_cast<std::size_t>(made)];
  const Sequence& from = sequences_[static_cast<std::size_t>(sequence)];
  const auto count = static_cast<std::ptrdiff_t>(KvShape::pages_for(tokens));
  CHECK(count <= std::ssize(from.pages), "only what is there can be shared");
  to.pages.assign(from.pages.begin(), from.pages.begin() + count);
  to.numbers.assign(from.numbers.begin(), from.numbers.begin() + count);
  for (const Page page : to.numbers) use(page);
  to.recent = from.recent;
  to.recent.truncate(tokens);
  if (has_states) {
    std::memcpy(state(made, 0), state(sequence, 0), shape_.state_bytes());
    to.state_tokens = tokens;
  }
  return made;
}

void KvCache::share(int sequence, Page page) {
  Sequence& entry = sequences_[static_cast<std::size_t>(sequence)];
  CHECK(entry.open && shape_.state_bytes() == 0, "pages without states can be shared");
  use(page);
  entry.numbers.push_back(page);
  entry.pages.push_back(address(page));
}

PageParts KvCache::parts(Page page) const {
  return {.first = address(page),
          .stride = plane_offset(0, 1),
          .planes = std::int64_t{shape_.layers} * shape_.kv_heads,
          .part_bytes = shape_.part_bytes()};
}

void KvCache::replace(int sequence, std::int64_t index, Page page) {
  Sequence& entry = sequences_[static_cast<std::size_t>(sequence)];
  const auto at = static_cast<std::size_t>(index);
  use(page);
  leave(std::exchange(entry.numbers[at], page));
  entry.pages[at] = address(page);
}

std::int64_t KvCache::truncate(int sequence, std::int64_t tokens) {
  Sequence& entry = sequences_[static_cast<std::size_t>(sequence)];
  CHECK(entry.open, "truncate on a closed sequence");
  const auto keep = static_cast<std::size_t>(KvShape::pages_for(tokens));
  while (entry.pages.size() > keep) {
    leave(entry.numbers.back());
    entry.numbers.pop_back();
    entry.pages.pop_back();
  }
  entry.recent.truncate(tokens);
  if (shape_.state_bytes() == 0 || entry.state_tokens == tokens) return tokens;
  entry.state_tokens = 0;
  return 0;
}

float* KvCache::state(int sequence, int layer) {
  CHECK(sequence < state_sequences_, "reserve() has been asked first");
  const std::size_t bytes = shape_.state_bytes();
  auto* first = reinterpret_cast<float*>(states_.data() + static_cast<std::size_t>(sequence) * bytes);
  return first + std::int64_t{layer} * shape_.state.layer();
}

std::span<std::byte* const> KvCache::pages(int sequence) const {
  return sequences_[static_cast<std::size_t>(sequence)].pages;
}

}  // namespace maestrale::ops
