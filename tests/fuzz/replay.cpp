// Runs a fuzz target on every file of the folders and files named, in name order, so that the corpora are
// part of the ordinary tests. Each input is copied into a buffer of exactly its size, where a sanitizer sees
// overruns.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> inputs(int count, char** names) {
  std::vector<fs::path> found;
  for (int i = 1; i < count; ++i) {
    const fs::path name = names[i];
    if (fs::is_regular_file(name)) found.push_back(name);
    if (!fs::is_directory(name)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(name)) {
      if (entry.is_regular_file()) found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<std::uint8_t> bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> read{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return {read.begin(), read.end()};
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<fs::path> files = inputs(argc, argv);
  const std::uint8_t nothing = 0;
  LLVMFuzzerTestOneInput(&nothing, 0);
  for (const fs::path& path : files) {
    std::fprintf(stderr, "%s\n", path.c_str());
    const std::vector<std::uint8_t> input = bytes_of(path);
    LLVMFuzzerTestOneInput(input.empty() ? &nothing : input.data(), input.size());
  }
  std::printf("%zu passed, 0 failed\n", files.size() + 1);
  return 0;
}
