// A model's packed weights as a file that is mapped back instead of packing again: the bytes of all matrices
// as the kernels read them, in the order in which the model asks for them, behind one page of header. The
// layout is the same for every instruction set. Several programs that map one file share its memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "base/file.h"
#include "base/result.h"
#include "files/checkpoint.h"

namespace maestrale::engine {

// What a file of packed weights must agree with.
struct PackedIdentity {
  std::uint64_t source = 0;  // fingerprint of the model
  std::uint64_t order = 0;   // hash of the matrices' shapes and sizes in their order
  std::uint64_t bytes = 0;
  bool float_arithmetic = false;
};

// Of every tensor's name, type, shape, first and last bytes. Reads a page or two of each.
std::uint64_t fingerprint(const files::Checkpoint& checkpoint);

Status write_packed(const std::filesystem::path& path, const PackedIdentity& identity,
                    std::span<const std::byte> weights);

class PackedFile {
 public:
  // Errors name the command that builds the file anew: not such a file, another version, another model, or
  // a part of a file. The order is the caller's to compare, once the model has asked for its matrices.
  static Result<PackedFile> open(const std::filesystem::path& path, const std::filesystem::path& model,
                                 const PackedIdentity& expected);
  PackedFile() = default;
  Status check_order(std::uint64_t order) const;
  // As MappedFile has it.
  Status check_unchanged() const { return file_.check_unchanged(); }
  std::span<const std::byte> weights() const { return weights_; }

 private:
  Error refusal(const std::string& what, const std::string& expected, const std::string& found) const;

  MappedFile file_;
  std::filesystem::path model_;
  PackedIdentity identity_;
  std::span<const std::byte> weights_;
};

}  // namespace maestrale::engine
