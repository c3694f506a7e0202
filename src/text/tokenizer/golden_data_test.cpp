#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <unordered_map>

#include "base/file.h"
#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/golden_test_data.h"
#include "text/tokenizer/loading.h"

namespace maestrale::text {
namespace {

constexpr std::uint64_t kFileMax = 1u << 28;

class Cursor {
 public:
  explicit Cursor(const std::string& bytes) : bytes_(bytes) {}
  template <class T>
  T number() {
    T value{};
    std::memcpy(&value, bytes_.data() + pos_, sizeof(T));
    pos_ += sizeof(T);
    return value;
  }
  std::string string() {
    const auto size = number<std::uint64_t>();
    std::string out = bytes_.substr(pos_, size);
    pos_ += size;
    return out;
  }
  void skip(std::uint32_t type) {
    static constexpr std::size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == 8) {
      string();
    } else if (type == 9) {
      const auto element = number<std::uint32_t>();
      for (auto n = number<std::uint64_t>(); n > 0; --n) skip(element);
    } else {
      pos_ += kSizes[type];
    }
  }

 private:
  const std::string& bytes_;
  std::size_t pos_ = 0;
};

template <class T, class Read>
std::vector<T> array_of(Cursor& cursor, const Read& read) {
  cursor.number<std::uint32_t>();
  std::vector<T> out(cursor.number<std::uint64_t>());
  for (T& value : out) value = read();
  return out;
}

void read_key(Cursor& c, const std::string& key, std::uint32_t type, GgufVocabulary& v) {
  const std::string name = key.substr(std::min(key.size(), std::strlen("tokenizer.ggml.")));
  const auto id = [&] { return std::optional<std::int64_t>(c.number<std::uint32_t>()); };
  if (key.rfind("tokenizer.ggml.", 0) != 0) return c.skip(type);
  if (name == "model") {
    v.model = c.string();
  } else if (name == "pre") {
    v.pre = c.string();
  } else if (name == "tokens") {
    v.tokens = array_of<std::string>(c, [&] { return c.string(); });
  } else if (name == "merges") {
    v.merges = array_of<std::string>(c, [&] { return c.string(); });
  } else if (name == "scores") {
    v.scores = array_of<float>(c, [&] { return c.number<float>(); });
  } else if (name == "token_type") {
    v.token_types = array_of<std::int32_t>(c, [&] { return c.number<std::int32_t>(); });
  } else if (name == "bos_token_id") {
    v.bos = id();
  } else if (name == "eos_token_id") {
    v.eos = id();
  } else if (name == "unknown_token_id") {
    v.unknown = id();
  } else if (name == "padding_token_id") {
    v.padding = id();
  } else if (name == "add_bos_token") {
    v.add_bos = c.number<std::uint8_t>() != 0;
  } else if (name == "add_eos_token") {
    v.add_eos = c.number<std::uint8_t>() != 0;
  } else {
    c.skip(type);
  }
}

std::vector<std::pair<std::string, TokenId>> specials_of(const json::object& golden) {
  std::vector<std::pair<std::string, TokenId>> out;
  if (const json::value* specials = golden.if_contains("special_tokens")) {
    for (const auto& [name, id] : specials->as_object()) {
      out.emplace_back(std::string(name), static_cast<TokenId>(id.as_int64()));
    }
  }
  return out;
}

std::string base64_of(std::string_view line) { return std::string(line.substr(0, line.find(' '))); }

// The last merge that makes `token`: byte-pair encoding of its bytes with lower ranks only, until two are
// left.
std::string merge_of(const std::string& token, const std::unordered_map<std::string, std::size_t>& ranks) {
  std::vector<std::string> parts;
  for (const char c : token) parts.emplace_back(1, c);
  while (parts.size() > 2) {
    std::size_t best = parts.size();
    std::size_t best_rank = ranks.at(token);
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto rank = ranks.find(parts[i] + parts[i + 1]);
      if (rank != ranks.end() && rank->second < best_rank) best_rank = rank->second, best = i;
    }
    if (best == parts.size()) return {};
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  return encode_byte_alphabet(parts[0]) + " " + encode_byte_alphabet(parts[1]);
}

// A rank file as a GGUF vocabulary with the merges that its ranks imply.
GgufVocabulary vocabulary_of_ranks(const std::string& file, const TiktokenSpec& spec) {
  GgufVocabulary v;
  v.model = "gpt2";
  v.pre = "deepseek-v3";
  std::vector<std::string> tokens;
  std::unordered_map<std::string, std::size_t> ranks;
  for (std::size_t begin = 0; begin < file.size();) {
    const std::size_t end = std::min(file.find('\n', begin), file.size());
    tokens.push_back(*decode_base64(base64_of(std::string_view(file).substr(begin, end - begin)), "ranks"));
    begin = end + 1;
    ranks[tokens.back()] = tokens.size() - 1;
  }
  for (const std::string& token : tokens) {
    v.tokens.push_back(encode_byte_alphabet(token));
    v.token_types.push_back(1);
    const std::string merge = token.size() > 1 ? merge_of(token, ranks) : std::string();
    if (!merge.empty()) v.merges.push_back(merge);
  }
  for (const auto& [name, id] : spec.specials) {
    const auto i = static_cast<std::size_t>(id);
    for (std::size_t gap = v.tokens.size(); gap <= i; ++gap) {
      v.tokens.push_back("<gap " + std::to_string(gap) + ">");
      v.token_types.push_back(5);
    }
    v.tokens[i] = name;
    v.token_types[i] = 3;
  }
  v.bos = 0;
  v.eos = 1;
  v.add_bos = true;
  return v;
}

}  // namespace

std::string shared_path(const std::string& relative) {
  const char* shared = std::getenv("MAESTRALE_SHARED");
  return (shared != nullptr && *shared != '\0' ? std::string(shared) : "../shared") + "/" + relative;
}

bool shared_exists(const std::string& relative) { return std::filesystem::exists(shared_path(relative)); }

std::string read_shared(const std::string& relative) {
  auto bytes = read_file(shared_path(relative), kFileMax);
  EXPECT_TRUE(bytes.ok());
  return bytes.ok() ? std::move(bytes).value() : std::string();
}

std::string unzip_shared(const std::string& relative) {
  const std::string command = "gzip -dc '" + shared_path(relative) + "'";
  std::string out;
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return out;
  char buffer[1 << 16];
  for (std::size_t n = std::fread(buffer, 1, sizeof(buffer), pipe); n > 0;
       n = std::fread(buffer, 1, sizeof(buffer), pipe)) {
    out.append(buffer, n);
  }
  pclose(pipe);
  return out;
}

GgufVocabulary read_gguf_vocabulary(const std::string& bytes) {
  GgufVocabulary vocabulary;
  Cursor cursor(bytes);
  cursor.number<std::uint64_t>();  // magic, version
  cursor.number<std::uint64_t>();  // tensors
  for (auto n = cursor.number<std::uint64_t>(); n > 0; --n) {
    const std::string key = cursor.string();
    read_key(cursor, key, cursor.number<std::uint32_t>(), vocabulary);
  }
  return vocabulary;
}

std::string text_of_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return out;
}

std::vector<TokenId> ids_of(const json::value& array) {
  std::vector<TokenId> out;
  for (const json::value& id : array.as_array()) out.push_back(static_cast<TokenId>(id.as_int64()));
  return out;
}

std::string make_tekken_json(const std::string& ranks, const std::string& pattern, int specials,
                             int vocab_size) {
  std::string out = R"({"config":{"pattern":)" + json::serialize(json::value(pattern)) +
                    R"(,"default_vocab_size":)" + std::to_string(vocab_size) +
                    R"(,"default_num_special_tokens":)" + std::to_string(specials) +
                    R"(,"version":"v3"},"vocab":[)";
  int line_number = 0;  // the export starts with the control tokens
  for (std::size_t begin = 0; begin < ranks.size();) {
    const std::size_t end = std::min(ranks.find('\n', begin), ranks.size());
    const std::string_view line = std::string_view(ranks).substr(begin, end - begin);
    begin = end + 1;
    if (line.empty()) continue;
    const int rank = line_number++ - specials;
    if (rank < 0) continue;
    out += (rank == 0 ? "" : ",") + std::string(R"({"rank":)") + std::to_string(rank) +
           R"(,"token_bytes":")" + base64_of(line) + R"(","token_str":null})";
  }
  return out + "]}";
}

Result<TokenizerPtr> load_golden_vocabulary(const json::object& golden, const std::string& name) {
  const std::string vocab(golden.at("vocab").as_string());
  const std::string bytes = read_shared("data/tokenizers/" + vocab);
  if (vocab.ends_with(".gguf")) return tokenizer_from_gguf(read_gguf_vocabulary(bytes), vocab);
  if (golden.contains("pattern") || golden.contains("pre_tokenizer")) {
    TiktokenSpec spec;
    spec.specials = specials_of(golden);
    if (name == "deepseek_v3") return tokenizer_from_gguf(vocabulary_of_ranks(bytes, spec), vocab);
    spec.pattern = std::string(golden.at("pattern").as_string());
    if (name == "tekken_nemo")
      return tokenizer_from_tekken(make_tekken_json(bytes, spec.pattern, 1000, 131072), vocab);
    return tokenizer_from_tiktoken(bytes, spec, vocab);
  }
  return tokenizer_from_sentencepiece(bytes, vocab);
}

}  // namespace maestrale::text
