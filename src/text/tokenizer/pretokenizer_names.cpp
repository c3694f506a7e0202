// The values of tokenizer.ggml.pre: which expressions each name stands for.
#include <algorithm>
#include <array>

#include "text/tokenizer/pretokenizer.h"

namespace maestrale::text {
namespace {

// Letters as DeepSeek LLM's pre-tokenizer lists them: Latin, Greek, Cyrillic, Armenian, Georgian, Cherokee
// and the other cased scripts.
constexpr const char* kDeepseekLlmWords =
    "\\s?[A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}"
    "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}"
    "\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}"
    "\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}"
    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}"
    "\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}"
    "\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}"
    "\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}"
    "\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}"
    "\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}"
    "\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}"
    "\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}"
    "\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}"
    "\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{"
    "118df}"
    "\\x{1e900}-\\x{1e943}]+";
constexpr const char* kDeepseekLlmPunctuation =
    "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+";
constexpr const char* kDeepseekCjk = "[\\x{800}-\\x{9fa5}\\x{ac00}-\\x{d7ff}]+";
constexpr const char* kGpt2 =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
constexpr const char* kBloom = " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+";
constexpr const char* kBailing =
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|"
    "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+";
constexpr const char* kSeedCoder =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

struct Row {
  const char* name;
  SplitFamily family;  // used where `stages` is empty
  bool ignore_merges = false;
  bool add_bos = false;
  std::array<const char*, 6> stages = {};
};

constexpr std::array kRows = {
    Row{"llama-bpe", SplitFamily::kLlama3, true, true},
    Row{"llama3", SplitFamily::kLlama3, true, true},
    Row{"llama-v3", SplitFamily::kLlama3, true, true},
    Row{"pixtral", SplitFamily::kLlama3, true, true},
    Row{"lfm2", SplitFamily::kLlama3, true, true},
    Row{"falcon3", SplitFamily::kLlama3, true, true},
    Row{"dbrx", SplitFamily::kLlama3},
    Row{"smaug-bpe", SplitFamily::kLlama3},
    Row{"glm4", SplitFamily::kLlama3},
    Row{"chatglm-bpe", SplitFamily::kLlama3},
    Row{"qwen2", SplitFamily::kQwen2},
    Row{"deepseek-r1-qwen", SplitFamily::kQwen2},
    Row{"stablelm2", SplitFamily::kQwen2},
    Row{"megrez", SplitFamily::kQwen2},
    Row{"hunyuan", SplitFamily::kQwen2},
    Row{"grok-2", SplitFamily::kQwen2},
    Row{"qwen35", SplitFamily::kQwen35},
    Row{"gpt-4o", SplitFamily::kO200k},
    Row{"llama4", SplitFamily::kO200k},
    Row{"minimax-m2", SplitFamily::kO200k},
    Row{"tekken", SplitFamily::kTekken, true, true},
    Row{"deepseek-v3", SplitFamily::kDeepseekV3},
    Row{"hunyuan-dense", SplitFamily::kDeepseekV3},
    Row{"gpt-2", SplitFamily::kGpt2},
    Row{"mpt", SplitFamily::kGpt2},
    Row{"olmo", SplitFamily::kGpt2},
    Row{"jais", SplitFamily::kGpt2},
    Row{"phi-2", SplitFamily::kGpt2},
    Row{"exaone4", SplitFamily::kGpt2},
    Row{"modern-bert", SplitFamily::kGpt2},
    Row{"trillion", SplitFamily::kGpt2},
    Row{"deepseek-llm",
        SplitFamily::kGpt2,
        false,
        false,
        {"[\\r\\n]", kDeepseekLlmWords, kDeepseekLlmPunctuation, "\\s+$", kDeepseekCjk, "\\p{N}+"}},
    Row{"deepseek-coder",
        SplitFamily::kGpt2,
        false,
        false,
        {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", kDeepseekCjk, "\\p{N}"}},
    Row{"falcon", SplitFamily::kGpt2, false, false, {"[\\p{P}$+<=>^~|`]+", kGpt2, "[0-9][0-9][0-9]"}},
    Row{"default",
        SplitFamily::kGpt2,
        false,
        false,
        {"[\\p{P}$+<=>^~|]+", kGpt2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    Row{"starcoder", SplitFamily::kGpt2, false, false, {"\\p{N}", kGpt2}},
    Row{"refact", SplitFamily::kGpt2, false, false, {"\\p{N}", kGpt2}},
    Row{"command-r", SplitFamily::kGpt2, false, false, {"\\p{N}", kGpt2}},
    Row{"smollm", SplitFamily::kGpt2, false, false, {"\\p{N}", kGpt2}},
    Row{"codeshell", SplitFamily::kGpt2, false, false, {"\\p{N}", kGpt2}},
    Row{"exaone", SplitFamily::kGpt2, false, false, {"\\p{N}", kGpt2}},
    Row{"minerva-7b", SplitFamily::kGpt2, false, false, {"\\p{N}", kGpt2}},
    Row{"bloom", SplitFamily::kGpt2, false, false, {kBloom}},
    Row{"poro-chat", SplitFamily::kGpt2, false, false, {kBloom}},
    Row{"gpt3-finnish", SplitFamily::kGpt2, false, false, {kBloom}},
    Row{"viking", SplitFamily::kGpt2, false, false, {kBloom, "\\p{N}"}},
    Row{"bailingmoe", SplitFamily::kGpt2, false, false, {kBailing}},
    Row{"bailingmoe2", SplitFamily::kGpt2, false, false, {kBailing}},
    Row{"llada-moe", SplitFamily::kGpt2, false, false, {kBailing}},
    Row{"seed-coder", SplitFamily::kGpt2, false, false, {kSeedCoder}},
};

Result<PreTokenizerPtr> build(const Row& row, const std::string& where) {
  if (row.stages[0] == nullptr) return make_splitter(row.family);
  std::vector<PreTokenizerPtr> stages;
  for (const char* pattern : row.stages) {
    if (pattern != nullptr) {
      stages.push_back(TRY(make_regex_splitter(pattern, SplitBehavior::kIsolated, false, where)));
    }
  }
  return make_sequence(std::move(stages));
}

}  // namespace

Result<NamedPreTokenizer> pre_tokenizer_by_name(const std::string& name, const std::string& where) {
  const std::string wanted = name.empty() ? "default" : name;
  const auto row = std::find_if(kRows.begin(), kRows.end(), [&](const Row& r) { return wanted == r.name; });
  if (row == kRows.end()) {
    return Error{
        .kind = ErrorKind::kUnsupported,
        .what = "this pre-tokenizer is not supported",
        .where = where,
        .expected = "tokenizer.ggml.pre with a known name (llama-bpe, tekken, qwen2, deepseek-v3, gpt-4o, …)",
        .found = "'" + name + "'"};
  }
  NamedPreTokenizer out;
  out.splitter = TRY(build(*row, where));
  out.ignore_merges = row->ignore_merges;
  out.add_bos = row->add_bos;
  return out;
}

}  // namespace maestrale::text
