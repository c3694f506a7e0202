// TensorSink: a model file that is being written. All tensors are declared first; their bytes follow in the
// same order, in pieces of any size.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "tensor/dtype.h"

namespace maestrale::files {

struct TensorDeclaration {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;  // outermost first
};

class TensorSink {
 public:
  virtual ~TensorSink() = default;
  // The next bytes of the present tensor; a tensor that is complete makes room for the next.
  virtual Status append(std::span<const std::byte> bytes) = 0;
  // Puts the file in place. All declared bytes must have been given.
  virtual Status finish() = 0;
};

// Bytes of a declared tensor, or an error that names it.
Result<std::uint64_t> declared_bytes(const TensorDeclaration& tensor);

}  // namespace maestrale::files
