#include "text/tokenizer/byte_trie.h"

#include <utility>

namespace maestrale::text {
namespace {

std::uint64_t edge_key(std::uint32_t node, char byte) {
  return ((static_cast<std::uint64_t>(node) << 8) | static_cast<unsigned char>(byte)) + 1;
}

}  // namespace

ByteTrie::ByteTrie() : values_{-1}, edges_(64), mask_(63) {}

std::size_t ByteTrie::slot(std::uint64_t key) const {
  std::size_t at = ((key * 0x9e3779b97f4a7c15u) >> 20) & mask_;
  while (edges_[at].key != 0 && edges_[at].key != key) at = (at + 1) & mask_;
  return at;
}

void ByteTrie::grow() {
  std::vector<Edge> old = std::exchange(edges_, std::vector<Edge>(edges_.size() * 2));
  mask_ = edges_.size() - 1;
  for (const Edge& edge : old) {
    if (edge.key != 0) edges_[slot(edge.key)] = edge;
  }
}

std::int32_t ByteTrie::insert(std::string_view key, std::int32_t value) {
  std::uint32_t node = kRoot;
  for (const char byte : key) {
    if (values_.size() * 2 > edges_.size()) grow();
    const std::uint64_t edge = edge_key(node, byte);
    const std::size_t at = slot(edge);
    if (edges_[at].key == 0) {
      edges_[at] = {edge, static_cast<std::uint32_t>(values_.size())};
      values_.push_back(-1);
    }
    node = edges_[at].target;
  }
  if (values_[node] < 0) values_[node] = value;
  return values_[node];
}

std::uint32_t ByteTrie::step(std::uint32_t node, char byte) const {
  const std::size_t at = slot(edge_key(node, byte));
  return edges_[at].key == 0 ? kNone : edges_[at].target;
}

}  // namespace maestrale::text
