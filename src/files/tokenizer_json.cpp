// A GGUF vocabulary as Hugging Face's tokenizer.json.
#include <algorithm>
#include <boost/json/serialize.hpp>
#include <tuple>
#include <unordered_map>

#include "base/json.h"
#include "base/utf8.h"
#include "files/vocabulary_source.h"

namespace maestrale::files {
namespace {

enum TokenType : std::int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4 };

constexpr const char* kBlank = "\xe2\x96\x81";  // U+2581

std::int32_t type_of(const text::GgufVocabulary& vocabulary, std::size_t id) {
  return id < vocabulary.token_types.size() ? vocabulary.token_types[id] : kNormal;
}

json::array added_tokens(const text::GgufVocabulary& vocabulary) {
  json::array out;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::int32_t type = type_of(vocabulary, id);
    if (type != kControl && type != kUserDefined && type != kUnknown) continue;
    json::object entry;
    entry["id"] = id;
    entry["content"] = vocabulary.tokens[id];
    for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"}) entry[flag] = false;
    entry["special"] = type != kUserDefined;
    out.push_back(std::move(entry));
  }
  return out;
}

json::object stage(std::string_view type) {
  json::object out;
  out["type"] = type;
  return out;
}

json::object byte_level(bool add_prefix_space, bool use_regex) {
  json::object out = stage("ByteLevel");
  out["add_prefix_space"] = add_prefix_space;
  out["trim_offsets"] = true;
  out["use_regex"] = use_regex;
  return out;
}

json::object replace(std::string_view from, std::string_view to) {
  json::object out = stage("Replace");
  out["pattern"] = json::object({{"String", from}});
  out["content"] = to;
  return out;
}

json::object sequence(const char* key, json::array stages) {
  json::object out = stage("Sequence");
  out[key] = std::move(stages);
  return out;
}

json::value post_processor(const text::GgufVocabulary& vocabulary) {
  if (!vocabulary.add_bos.value_or(vocabulary.model == "llama") || !vocabulary.bos) return nullptr;
  const std::string& bos = vocabulary.tokens[static_cast<std::size_t>(*vocabulary.bos)];
  const auto token = [&](int type) {
    return json::object({{"SpecialToken", json::object({{"id", bos}, {"type_id", type}})}});
  };
  const auto text = [](const char* id, int type) {
    return json::object({{"Sequence", json::object({{"id", id}, {"type_id", type}})}});
  };
  json::object out = stage("TemplateProcessing");
  out["single"] = json::array({token(0), text("A", 0)});
  out["pair"] = json::array({token(0), text("A", 0), token(1), text("B", 1)});
  json::object special;
  special["id"] = bos;
  special["ids"] = json::array({json::value(*vocabulary.bos)});
  special["tokens"] = json::array({json::value(bos)});
  json::object list;
  list[bos] = std::move(special);
  out["special_tokens"] = std::move(list);
  return out;
}

struct Merge {
  float score = 0;
  std::size_t piece = 0, left = 0, right = 0;
  auto order() const { return std::tuple(-score, piece, left, right); }
};

// SentencePiece keeps scores only: every way to cut a piece into two others is a merge of the piece's score.
json::array merges_by_score(const text::GgufVocabulary& vocabulary) {
  std::unordered_map<std::string_view, std::size_t> ids;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) ids.emplace(vocabulary.tokens[id], id);
  std::vector<Merge> merges;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (type_of(vocabulary, id) != kNormal) continue;
    const std::string_view piece = vocabulary.tokens[id];
    const float score = id < vocabulary.scores.size() ? vocabulary.scores[id] : 0.0f;
    for (std::size_t cut = 0; cut < piece.size();) {
      cut += static_cast<std::size_t>(decode_utf8(piece.substr(cut)).length);
      const auto left = ids.find(piece.substr(0, cut)),
                 right = ids.find(piece.substr(std::min(cut, piece.size())));
      if (left != ids.end() && right != ids.end()) merges.push_back({score, id, left->second, right->second});
    }
  }
  std::sort(merges.begin(), merges.end(),
            [](const Merge& a, const Merge& b) { return a.order() < b.order(); });
  json::array out;
  for (const Merge& merge : merges) {
    out.push_back(json::array(
        {json::value(vocabulary.tokens[merge.left]), json::value(vocabulary.tokens[merge.right])}));
  }
  return out;
}

json::object model_of(const text::GgufVocabulary& vocabulary, bool pieces) {
  json::object out = stage("BPE");
  out["dropout"] = nullptr;
  out["unk_token"] = nullptr;
  if (pieces && vocabulary.unknown)
    out["unk_token"] = vocabulary.tokens[static_cast<std::size_t>(*vocabulary.unknown)];
  out["continuing_subword_prefix"] = nullptr;
  out["end_of_word_suffix"] = nullptr;
  out["fuse_unk"] = pieces;
  out["byte_fallback"] = pieces;
  out["ignore_merges"] = vocabulary.pre == "llama-bpe" || vocabulary.pre == "tekken";
  json::object vocab;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) vocab[vocabulary.tokens[id]] = id;
  out["vocab"] = std::move(vocab);
  json::array merges;
  for (const std::string& merge : vocabulary.merges) merges.push_back(json::value(merge));
  out["merges"] = pieces ? merges_by_score(vocabulary) : std::move(merges);
  return out;
}

void add_piece_stages(const text::GgufVocabulary& vocabulary, json::object& root) {
  json::object prepend = stage("Prepend");
  prepend["prepend"] = kBlank;
  json::object strip = stage("Strip");
  strip["content"] = " ";
  strip["start"] = 1;
  strip["stop"] = 0;
  const bool prefix = vocabulary.add_space_prefix.value_or(true);
  json::array normalizers, decoders({replace(kBlank, " "), stage("ByteFallback"), stage("Fuse")});
  if (prefix) normalizers.push_back(std::move(prepend));
  normalizers.push_back(replace(" ", kBlank));
  if (prefix) decoders.push_back(std::move(strip));
  root["normalizer"] = sequence("normalizers", std::move(normalizers));
  root["pre_tokenizer"] = nullptr;
  root["decoder"] = sequence("decoders", std::move(decoders));
}

Status add_byte_level_stages(const text::GgufVocabulary& vocabulary, const std::string& where,
                             json::object& root) {
  json::object split = stage("Split");
  json::object pattern;
  pattern["Regex"] = TRY(expression_of(vocabulary.pre, where));
  split["pattern"] = std::move(pattern);
  split["behavior"] = "Isolated";
  split["invert"] = false;
  root["normalizer"] = nullptr;
  if (vocabulary.pre == "qwen2") root["normalizer"] = stage("NFC");
  root["pre_tokenizer"] =
      sequence("pretokenizers", json::array({std::move(split), byte_level(false, false)}));
  root["decoder"] = byte_level(true, true);
  return {};
}

}  // namespace

Result<std::string> tokenizer_json_from(const text::GgufVocabulary& vocabulary, const std::string& where) {
  const bool pieces = vocabulary.model == "llama";
  if (!pieces && vocabulary.model != "gpt2") {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = "this kind of vocabulary cannot be carried over",
                 .where = where,
                 .found = vocabulary.model};
  }
  for (const auto& id : {vocabulary.bos, vocabulary.unknown}) {
    if (id && (*id < 0 || static_cast<std::size_t>(*id) >= vocabulary.tokens.size())) {
      return Error{
          .what = "a special token's id is out of range", .where = where, .found = std::to_string(*id)};
    }
  }
  json::object root;
  root["version"] = "1.0";
  root["truncation"] = nullptr;
  root["padding"] = nullptr;
  root["added_tokens"] = added_tokens(vocabulary);
  if (pieces) {
    add_piece_stages(vocabulary, root);
  } else {
    TRY(add_byte_level_stages(vocabulary, where, root));
  }
  root["post_processor"] = post_processor(vocabulary);
  root["model"] = model_of(vocabulary, pieces);
  return json::serialize(root);
}

}  // namespace maestrale::files
