#include "ops/kv_cache.h"

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

Result<KvCache> KvCache::create(const KvShape& shape, std::int64_t pages, std::int64_t sequences) {
  const bool keeps_keys = shape.kv_heads > 0 && shape.head_size > 0;
  CHECK(pages >= 0 && shape.layers > 0 && (keeps_keys || shape.state.layer() > 0),
        "a KV shape has positive sizes");
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
  const std::size_t apart = shape.latent ? shape.page_bytes() : shape.head().bytes;
  cache.free_.reserve(static_cast<std::size_t>(pages));
  for (std::int64_t page = pages - 1; page >= 0; --page) {
    cache.free_.push_back(cache.pool_.data() + static_cast<std::size_t>(page) * apart);
  }
  return cache;
}

int KvCache::open_sequence() {
  for (std::size_t index = 0; index < sequences_.size(); ++index) {
    if (sequences_[index].open) continue;
    sequences_[index].open = true;
    return static_cast<int>(index);
  }
  sequences_.push_back({.open = true, .pages = {}, .state_tokens = 0});
  return static_cast<int>(sequences_.size()) - 1;
}

void KvCache::close_sequence(int sequence) {
  truncate(sequence, 0);
  sequences_[static_cast<std::size_t>(sequence)].open = false;
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
  if (wanted - entry.pages.size() > free_.size()) {
    return Error{
        .kind = ErrorKind::kResource,
        .what = "the KV cache is full",
        .expected = std::to_string((free_.size() + entry.pages.size()) * kPageTokens) + " tokens at most",
        .found = std::to_string(tokens) + " tokens",
        .hint = "use a larger --context or a smaller prompt"};
  }
  while (entry.pages.size() < wanted) {
    entry.pages.push_back(free_.back());
    free_.pop_back();
  }
  return {};
}

std::int64_t KvCache::truncate(int sequence, std::int64_t tokens) {
  Sequence& entry = sequences_[static_cast<std::size_t>(sequence)];
  CHECK(entry.open, "truncate on a closed sequence");
  const auto keep = static_cast<std::size_t>(KvShape::pages_for(tokens));
  while (entry.pages.size() > keep) {
    free_.push_back(entry.pages.back());
    entry.pages.pop_back();
  }
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
