// GGUF v3, streamed: keys and tensors are declared, the data follows, the file appears when it is complete.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "files/gguf_reader.h"
#include "files/output_file.h"
#include "files/tensor_sink.h"
#include "text/tokenizer/load.h"

namespace maestrale::files {

// Keys and values in file form, in the order in which they were added. Each name may be added once.
class GgufKeys {
 public:
  void add(std::string_view name, std::uint32_t value);
  void add(std::string_view name, float value);
  void add(std::string_view name, bool value);
  void add(std::string_view name, std::string_view value);
  void add(std::string_view name, const char* value) { add(name, std::string_view(value)); }
  void add(std::string_view name, std::span<const std::string> values);
  void add(std::string_view name, std::span<const float> values);
  void add(std::string_view name, std::span<const std::int32_t> values);
  void add(const GgufKey& key);                      // as it stood in another file
  void add(const text::GgufVocabulary& vocabulary);  // the tokenizer.ggml.* keys

  std::uint64_t count() const { return count_; }
  const std::string& bytes() const { return bytes_; }

 private:
  void begin(std::string_view name, GgufType type);
  template <class T>
  void put(T value);

  std::string bytes_;
  std::uint64_t count_ = 0;
};

class GgufWriter final : public TensorSink {
 public:
  static Result<std::unique_ptr<GgufWriter>> create(const std::filesystem::path& path, const GgufKeys& keys,
                                                    std::span<const TensorDeclaration> tensors);
  Status append(std::span<const std::byte> bytes) override;
  Status finish() override;

 private:
  OutputFile file_;
  std::vector<std::uint64_t> sizes_;  // bytes of each tensor
  std::size_t current_ = 0;
  std::uint64_t given_ = 0;  // bytes of the present tensor so far
};

}  // namespace maestrale::files
