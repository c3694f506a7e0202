#include "files/checkpoint.h"

#include <functional>

#include "base/check.h"

namespace maestrale::files {

std::string_view dialect_name(Dialect dialect) {
  switch (dialect) {
    case Dialect::kGguf:
      return "GGUF";
    case Dialect::kHuggingFace:
      return "Hugging Face";
    case Dialect::kMistral:
      return "Mistral";
    case Dialect::kLlama2c:
      return "llama2.c";
  }
  return "unknown";
}

const TensorView* Checkpoint::find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nullptr : &tensors[found->second];
}

std::uint64_t Checkpoint::file_bytes() const {
  std::uint64_t total = 0;
  for (const MappedFile& file : mappings) total += file.bytes().size();
  return total;
}

void Checkpoint::release(const TensorView& tensor) const {
  const std::less_equal<const std::byte*> not_after;
  for (const MappedFile& file : mappings) {
    const auto bytes = file.bytes();
    if (bytes.empty() || tensor.data.empty()) continue;
    const std::byte* end = tensor.data.data() + tensor.data.size();
    if (not_after(bytes.data(), tensor.data.data()) && not_after(end, bytes.data() + bytes.size())) {
      file.release(tensor.data);
      return;
    }
  }
}

void Checkpoint::index_tensors() {
  by_name_.clear();
  by_name_.reserve(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const bool fresh = by_name_.emplace(tensors[i].name, i).second;
    CHECK(fresh, "readers refuse two tensors of one name");
  }
}

}  // namespace maestrale::files
