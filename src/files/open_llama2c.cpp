#include <algorithm>

#include "files/llama2c_reader.h"
#include "files/openers.h"

namespace maestrale::files {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxTokenizerBytes = 64 << 20;

struct Candidate {
  fs::path path;
  std::string bytes;
  std::size_t likeness = 0;  // letters that its name and the model's have in common at the start
};

std::size_t common_start(const std::string& a, const std::string& b) {
  const std::size_t most = std::min(a.size(), b.size());
  std::size_t n = 0;
  while (n < most && a[n] == b[n]) ++n;
  return n;
}

std::vector<Candidate> candidates(const fs::path& model, std::int64_t vocab_size) {
  std::vector<Candidate> found;
  std::error_code code;
  const fs::path folder = model.has_parent_path() ? model.parent_path() : fs::path(".");
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".bin" || name.find("tok") == std::string::npos) continue;
    if (name == model.filename().string() || !entry.is_regular_file(code)) continue;
    auto bytes = read_file(entry.path(), kMaxTokenizerBytes);
    if (!bytes.ok() || !fits_llama2c_tokenizer(*bytes, vocab_size)) continue;
    // A name that begins with "tok" is for any model; one that begins otherwise, for models that do as well.
    const std::size_t likeness =
        name.starts_with("tok") ? 1 : 2 * common_start(name, model.filename().string());
    found.push_back({entry.path(), std::move(*bytes), likeness});
  }
  std::sort(found.begin(), found.end(), [](const Candidate& a, const Candidate& b) {
    return a.likeness != b.likeness ? a.likeness > b.likeness : a.path < b.path;
  });
  return found;
}

struct Choice {
  const Candidate* best = nullptr;
  const Candidate* rival = nullptr;  // as likely as the best, and different
};

Choice choose(const std::vector<Candidate>& found) {
  if (found.empty()) return {};
  for (const Candidate& candidate : found) {
    if (candidate.path.filename() == "tokenizer.bin") return {&candidate, nullptr};
  }
  const bool tied =
      found.size() > 1 && found[1].likeness == found[0].likeness && found[1].bytes != found[0].bytes;
  return {&found[0], tied ? &found[1] : nullptr};
}

void load_tokenizer(const fs::path& model, std::int64_t vocab_size, Checkpoint& out) {
  const std::vector<Candidate> found = candidates(model, vocab_size);
  const auto [best, rival] = choose(found);
  if (best == nullptr) {
    out.tokenizer_problem = model.string() + ": no tokenizer.bin of " + std::to_string(vocab_size) +
                            " entries lies beside the model";
  } else if (rival != nullptr) {
    out.tokenizer_problem = model.string() + ": several tokenizers beside the model fit it (" +
                            best->path.filename().string() + ", " + rival->path.filename().string() +
                            "); name the right one tokenizer.bin";
  } else {
    keep_tokenizer(text::tokenizer_from_llama2c(best->bytes, vocab_size, best->path.string()), out);
  }
}

}  // namespace

fs::path llama2c_tokenizer_path(const fs::path& model, std::int64_t vocab_size) {
  const std::vector<Candidate> found = candidates(model, vocab_size);
  const auto [best, rival] = choose(found);
  return best == nullptr || rival != nullptr ? fs::path() : best->path;
}

Result<Checkpoint> open_llama2c(MappedFile opened, const OpenOptions& options) {
  Checkpoint out;
  out.dialect = Dialect::kLlama2c;
  Llama2cFile file = TRY(parse_llama2c(opened.bytes(), opened.path().string()));
  out.metadata = std::move(file.metadata);
  out.tensors = std::move(file.tensors);
  if (options.load_tokenizer) load_tokenizer(opened.path(), file.vocab_size, out);
  out.mappings.push_back(std::move(opened));
  return out;
}

}  // namespace maestrale::files
