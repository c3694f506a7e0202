// safetensors, streamed: the header from the declarations, then the data without gaps.
#pragma once

#include <filesystem>
#include <memory>
#include <span>

#include "files/output_file.h"
#include "files/tensor_sink.h"

namespace maestrale::files {

class SafetensorsWriter final : public TensorSink {
 public:
  // An error names the first tensor whose type safetensors does not have. Empty tensors are not written.
  static Result<std::unique_ptr<SafetensorsWriter>> create(const std::filesystem::path& path,
                                                           std::span<const TensorDeclaration> tensors);
  Status append(std::span<const std::byte> bytes) override;
  Status finish() override;

 private:
  OutputFile file_;
  std::uint64_t end_ = 0;  // file size when complete
};

}  // namespace maestrale::files
