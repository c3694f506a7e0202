// Hugging Face's tokenizer.json to a GGUF vocabulary.
#include <algorithm>
#include <unordered_map>

#include "base/json.h"
#include "files/vocabulary_source.h"

namespace maestrale::files {
namespace {

enum TokenType : std::int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

constexpr std::int64_t kMaxTokens = 1 << 22;

class JsonVocabulary {
 public:
  JsonVocabulary(const json::object& root, std::string where) : root_(root, std::move(where)) {}

  Result<text::GgufVocabulary> read() {
    const JsonFields model(*TRY(root_.object("model")), where() + ", model");
    const std::string type = TRY(model.string_or("type", "BPE"));
    if (type != "BPE") return unsupported("this kind of vocabulary cannot be carried over", type);
    TRY(read_tokens(*TRY(model.object("vocab"))));
    TRY(read_added());
    const std::string unknown = TRY(model.string_or("unk_token", ""));
    TRY(read_merges(*TRY(model.array("merges"))));
    if (TRY(model.boolean_or("byte_fallback", false))) {
      finish_pieces(unknown);
    } else {
      out_.model = "gpt2";
      out_.scores.clear();
      out_.pre = TRY(pre_name());
    }
    TRY(read_post_processor());
    return std::move(out_);
  }

 private:
  const std::string& where() const { return root_.where(); }
  Error unsupported(std::string what, std::string found) const {
    return Error{.kind = ErrorKind::kUnsupported,
                 .what = std::move(what),
                 .where = where(),
                 .found = std::move(found)};
  }
  Error malformed(std::string what) const { return Error{.what = std::move(what), .where = where()}; }

  Status place(std::int64_t id, std::string_view spelling, std::int32_t type) {
    if (id < 0 || id >= kMaxTokens) return malformed("a token's id is out of range");
    const auto index = static_cast<std::size_t>(id);
    if (index > 4 * out_.tokens.size() + 65536) return malformed("the tokens' ids have holes too large");
    while (out_.tokens.size() <= index) {
      out_.tokens.push_back("[PAD" + std::to_string(out_.tokens.size()) + "]");
      out_.token_types.push_back(kUnused);
    }
    out_.tokens[index] = spelling;
    out_.token_types[index] = type;
    ids_[std::string(spelling)] = id;
    return {};
  }

  Status read_tokens(const json::object& vocab) {
    std::vector<std::pair<std::int64_t, std::string_view>> sorted;
    for (const auto& [token, id] : vocab) {
      if (!id.is_int64()) return malformed("a token's id is not an integer");
      sorted.emplace_back(id.get_int64(), token);
    }
    std::sort(sorted.begin(), sorted.end());
    for (const auto& [id, token] : sorted) {
      const bool byte = token.size() == 6 && token.starts_with("<0x") && token.ends_with('>');
      TRY(place(id, token, byte ? kByte : kNormal));
    }
    return {};
  }

  Status read_added() {
    if (!root_.has("added_tokens")) return {};
    for (const json::value& value : *TRY(root_.array("added_tokens"))) {
      if (!value.is_object()) return malformed("added_tokens holds something else than objects");
      const JsonFields entry(value.get_object(), where() + ", added_tokens");
      const bool special = TRY(entry.boolean_or("special", false));
      TRY(place(TRY(entry.integer("id")), TRY(entry.string("content")), special ? kControl : kUserDefined));
    }
    return {};
  }

  Status read_merges(const json::array& merges) {
    for (const json::value& value : merges) {
      std::string left, right;
      if (value.is_string()) {
        const std::string_view text = value.get_string();
        const std::size_t blank = text.find(' ', 1);
        if (blank == std::string_view::npos) return malformed("a merge is not a pair");
        left = text.substr(0, blank);
        right = text.substr(blank + 1);
      } else if (value.is_array() && value.get_array().size() == 2 && value.get_array()[0].is_string() &&
                 value.get_array()[1].is_string()) {
        left = value.get_array()[0].get_string();
        right = value.get_array()[1].get_string();
      } else {
        return malformed("a merge is not a pair");
      }
      first_merge_.try_emplace(left + right, out_.merges.size());
      out_.merges.push_back(left + " " + right);
    }
    return {};
  }

  // SentencePiece merges by score, so the order of the merges becomes the scores.
  void finish_pieces(const std::string& unknown) {
    out_.model = "llama";
    out_.scores.assign(out_.tokens.size(), 0.0f);
    for (std::size_t i = 0; i < out_.tokens.size(); ++i) {
      const auto merge = first_merge_.find(out_.tokens[i]);
      if (merge != first_merge_.end()) out_.scores[i] = -static_cast<float>(merge->second + 1);
      if (out_.tokens[i] != unknown || unknown.empty()) continue;
      out_.token_types[i] = kUnknown;
      out_.unknown = static_cast<std::int64_t>(i);
    }
    out_.merges.clear();
    out_.add_space_prefix = prepends_blank();
  }

  bool prepends_blank() const {
    const auto mentions = [&](const char* part, std::string_view type, const char* key,
                              std::string_view none) {
      const json::value* value = root_.find(part);
      std::vector<const json::value*> stages;
      if (value != nullptr && value->is_object()) stages.push_back(value);
      for (std::size_t i = 0; i < stages.size(); ++i) {
        const json::object& stage = stages[i]->get_object();
        for (const char* list : {"normalizers", "pretokenizers"}) {
          const json::value* inner = stage.if_contains(list);
          if (inner == nullptr || !inner->is_array() || stages.size() > 64) continue;
          for (const json::value& next : inner->get_array()) {
            if (next.is_object()) stages.push_back(&next);
          }
        }
        const json::value* name = stage.if_contains("type");
        if (name == nullptr || !name->is_string() || name->get_string() != type) continue;
        const json::value* scheme = stage.if_contains(key);
        return scheme == nullptr || !scheme->is_string() || scheme->get_string() != none;
      }
      return false;
    };
    return mentions("normalizer", "Prepend", "prepend", "") ||
           mentions("pre_tokenizer", "Metaspace", "prepend_scheme", "never");
  }

  // The expressions of a pre-tokenizer's Split stages, in order.
  Status collect_splits(const JsonFields& stage, int depth, std::vector<std::string>& out) const {
    const std::string type = TRY(stage.string("type"));
    if (type == "Sequence" && depth < 4) {
      for (const json::value& inner : *TRY(stage.array("pretokenizers"))) {
        if (!inner.is_object()) return malformed("pretokenizers holds something else than objects");
        TRY(collect_splits(JsonFields(inner.get_object(), stage.where()), depth + 1, out));
      }
      return {};
    }
    if (type == "ByteLevel") {
      if (TRY(stage.boolean_or("use_regex", true))) out.push_back(TRY(expression_of("gpt-2", where())));
      return {};
    }
    if (type != "Split") return unsupported("GGUF has no name here for this pre-tokenizer", type);
    const JsonFields pattern(*TRY(stage.object("pattern")), stage.where());
    out.push_back(TRY(pattern.string_or("Regex", TRY(pattern.string_or("String", "")))));
    return {};
  }

  Result<std::string> pre_name() const {
    std::vector<std::string> splits;
    TRY(collect_splits(JsonFields(*TRY(root_.object("pre_tokenizer")), where() + ", pre_tokenizer"), 0,
                       splits));
    const bool of_deepseek = splits.size() == 3 && splits[0] == "\\p{N}{1,3}" &&
                             splits[1] == "[一-龥぀-ゟ゠-ヿ]+" &&
                             splits[2].starts_with("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|");
    if (of_deepseek) return std::string("deepseek-v3");
    std::string all;
    for (const std::string& split : splits) all += (all.empty() ? "" : " then ") + split;
    return splits.size() == 1 ? pre_name_of(splits[0], where()) : pre_name_of(all, where());
  }

  // A template that begins with a special token puts BOS in front.
  Status read_post_processor() {
    out_.add_bos = false;
    if (!root_.has("post_processor")) return {};
    std::vector<const json::object*> stages = {TRY(root_.object("post_processor"))};
    if (const json::value* list = stages[0]->if_contains("processors"); list != nullptr && list->is_array()) {
      for (const json::value& stage : list->get_array()) {
        if (stage.is_object()) stages.push_back(&stage.get_object());
      }
    }
    for (const json::object* stage : stages) {
      const json::value* single = stage->if_contains("single");
      if (single == nullptr || !single->is_array() || single->get_array().empty()) continue;
      const json::value& first = single->get_array()[0];
      const json::value* special =
          first.is_object() ? first.get_object().if_contains("SpecialToken") : nullptr;
      if (special == nullptr || !special->is_object()) continue;
      const auto found = ids_.find(TRY(JsonFields(special->get_object(), where()).string("id")));
      if (found == ids_.end()) continue;
      out_.bos = found->second;
      out_.add_bos = true;
    }
    return {};
  }

  JsonFields root_;
  text::GgufVocabulary out_;
  std::unordered_map<std::string, std::int64_t> ids_;
  std::unordered_map<std::string, std::size_t> first_merge_;  // piece -> its first merge
};

// "bos_token": "<s>" or {"content": "<s>"}.
std::string token_named(const json::object& config, std::string_view key) {
  const json::value* value = config.if_contains(key);
  if (value != nullptr && value->is_object()) value = value->get_object().if_contains("content");
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

Status apply_config(std::string_view text, const std::string& where, text::GgufVocabulary& out) {
  const json::value parsed = TRY(parse_json(text, where));
  if (!parsed.is_object())
    return Error{.what = "tokenizer_config.json does not hold an object", .where = where};
  const json::object& config = parsed.get_object();
  for (auto& [key, id] : {std::pair("bos_token", &out.bos),
                          {"eos_token", &out.eos},
                          {"pad_token", &out.padding},
                          {"unk_token", &out.unknown}}) {
    const auto found = std::find(out.tokens.begin(), out.tokens.end(), token_named(config, key));
    if (found != out.tokens.end()) *id = found - out.tokens.begin();
  }
  const JsonFields fields(config, where);
  if (fields.has("add_bos_token")) out.add_bos = TRY(fields.boolean_or("add_bos_token", false));
  if (fields.has("add_eos_token")) out.add_eos = TRY(fields.boolean_or("add_eos_token", false));
  return {};
}

}  // namespace

Result<text::GgufVocabulary> vocabulary_from_json(std::string_view tokenizer_json, std::string_view config,
                                                  const std::string& where) {
  const json::value root = TRY(parse_json(tokenizer_json, where));
  if (!root.is_object()) return Error{.what = "the file does not hold a JSON object", .where = where};
  text::GgufVocabulary out = TRY(JsonVocabulary(root.get_object(), where).read());
  if (!config.empty()) TRY(apply_config(config, where + ", tokenizer_config.json", out));
  return out;
}

}  // namespace maestrale::files
