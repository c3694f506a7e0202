#include "text/tokenizer/json_stages.h"

#include <algorithm>
#include <array>

#include "text/tokenizer/loading.h"

namespace maestrale::text {
namespace {

constexpr std::size_t kStagesMax = 256;

// A pre-tokenizer stage that rewrites its piece instead of cutting it.
class Rewriter final : public PreTokenizer {
 public:
  explicit Rewriter(NormalizerPtr rewrite) : rewrite_(std::move(rewrite)) {}
  void split(std::string_view text, PieceSink& sink) const override { sink.piece(rewrite_->apply(text, {})); }

 private:
  NormalizerPtr rewrite_;
};

// `pattern` is {"String": s} or {"Regex": r}.
struct Pattern {
  std::string text;
  bool regex = false;
};

Result<Pattern> read_pattern(const JsonFields& stage) {
  const JsonFields pattern(*TRY(stage.object("pattern")), stage.where() + " pattern");
  if (pattern.has("Regex")) return Pattern{TRY(pattern.string("Regex")), true};
  return Pattern{TRY(pattern.string("String")), false};
}

Result<NormalizerPtr> replace_normalizer(const JsonFields& stage) {
  const Pattern pattern = TRY(read_pattern(stage));
  const std::string content = TRY(stage.string("content"));
  if (!pattern.regex) return make_replace(pattern.text, content);
  if (pattern.text == " {2,}") return make_collapse_blanks(content);
  return unsupported_component("normalizer", "Replace with the expression " + pattern.text, stage.where());
}

Result<NormalizerPtr> bert_normalizer(const JsonFields& stage) {
  BertRules rules;
  rules.clean = TRY(stage.boolean_or("clean_text", true));
  rules.chinese = TRY(stage.boolean_or("handle_chinese_chars", true));
  rules.lowercase = TRY(stage.boolean_or("lowercase", true));
  rules.strip_accents =
      stage.has("strip_accents") ? TRY(stage.boolean_or("strip_accents", true)) : rules.lowercase;
  return make_bert_normalizer(rules);
}

Result<NormalizerPtr> normalizer_sequence(const JsonFields& stage) {
  const json::array* list = TRY(stage.array("normalizers"));
  if (list->size() > kStagesMax)
    return unsupported_component("normalizer", "a Sequence this long", stage.where());
  std::vector<NormalizerPtr> steps;
  for (const json::value& value : *list) {
    NormalizerPtr step = TRY(read_normalizer(value, stage.where()));
    if (step != nullptr) steps.push_back(std::move(step));
  }
  return make_normalizer_sequence(std::move(steps));
}

Result<SplitBehavior> read_behavior(const JsonFields& stage) {
  static constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kNames = {
      {{"Isolated", SplitBehavior::kIsolated},
       {"Removed", SplitBehavior::kRemoved},
       {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
       {"MergedWithNext", SplitBehavior::kMergedWithNext},
       {"Contiguous", SplitBehavior::kContiguous}}};
  const std::string name = TRY(stage.string_or("behavior", "Isolated"));
  for (const auto& [known, behavior] : kNames) {
    if (known == name) return behavior;
  }
  return unsupported_component("split behavior", name, stage.where());
}

class PreTokenizerReader {
 public:
  Status read(const json::value& value, const std::string& where) {
    if (value.is_null()) return {};
    const JsonFields stage = TRY(fields_of(value, where));
    const std::string type = TRY(stage.string("type"));
    if (type == "Sequence") return sequence(stage);
    if (type == "ByteLevel") return byte_level(stage);
    if (type == "Metaspace") return metaspace(stage);
    if (type == "Split") return split(stage);
    if (type == "Digits") return digits(stage);
    if (type == "Punctuation") {
      return add_regex("[\\p{P}$+<=>^`|~]", TRY(read_behavior(stage)), false, stage.where());
    }
    if (type == "WhitespaceSplit") return add(make_splitter(SplitFamily::kWhiteSpaceDropped));
    if (type == "Whitespace") {
      return add_regex("[\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}]+|[^\\s\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}]+",
                       SplitBehavior::kRemoved, true, stage.where());
    }
    if (type == "BertPreTokenizer") {
      TRY(add(make_splitter(SplitFamily::kWhiteSpaceDropped)));
      return add(make_splitter(SplitFamily::kPunctuation));
    }
    return unsupported_component("pre_tokenizer", type, stage.where());
  }

  PreTokenizerPlan plan() {
    if (!stages_.empty()) plan_.splitter = make_sequence(std::move(stages_));
    return std::move(plan_);
  }

 private:
  Status add(PreTokenizerPtr stage) {
    stages_.push_back(std::move(stage));
    return {};
  }
  Status add_regex(const std::string& pattern, SplitBehavior behavior, bool invert,
                   const std::string& where) {
    return add(TRY(make_regex_splitter(pattern, behavior, invert, where)));
  }
  Status sequence(const JsonFields& stage) {
    const json::array* list = TRY(stage.array("pretokenizers"));
    for (const json::value& value : *list) {
      if (++count_ > kStagesMax)
        return unsupported_component("pre_tokenizer", "a Sequence this long", stage.where());
      TRY(read(value, stage.where()));
    }
    return {};
  }
  Status byte_level(const JsonFields& stage) {
    plan_.byte_level = true;
    if (TRY(stage.boolean_or("add_prefix_space", true))) {
      TRY(add(std::make_unique<const Rewriter>(make_prefix_unless_there(" ", false))));
    }
    if (TRY(stage.boolean_or("use_regex", true))) return add(make_splitter(SplitFamily::kGpt2));
    return {};
  }
  Status metaspace(const JsonFields& stage) {
    const std::string replacement = TRY(stage.string_or("replacement", kBlankBlock));
    const bool old_prefix = TRY(stage.boolean_or("add_prefix_space", true));
    const std::string scheme = TRY(stage.string_or("prepend_scheme", old_prefix ? "always" : "never"));
    if (scheme != "always" && scheme != "first" && scheme != "never") {
      return unsupported_component("prepend_scheme", scheme, stage.where());
    }
    if (scheme == "first" && !stages_.empty()) {
      return unsupported_component("pre_tokenizer", "Metaspace with prepend_scheme first after another stage",
                                   stage.where());
    }
    std::vector<NormalizerPtr> steps;
    steps.push_back(make_replace(" ", replacement));
    if (scheme != "never") steps.push_back(make_prefix_unless_there(replacement, scheme == "first"));
    NormalizerPtr rewrite = make_normalizer_sequence(std::move(steps));
    if (scheme == "first") {
      plan_.rewriter = std::move(rewrite);
    } else {
      TRY(add(std::make_unique<const Rewriter>(std::move(rewrite))));
    }
    if (!TRY(stage.boolean_or("split", true))) return {};
    return add(make_literal_splitter(replacement, SplitBehavior::kMergedWithNext, false));
  }
  Status split(const JsonFields& stage) {
    const Pattern pattern = TRY(read_pattern(stage));
    const SplitBehavior behavior = TRY(read_behavior(stage));
    const bool invert = TRY(stage.boolean_or("invert", false));
    if (pattern.regex) return add_regex(pattern.text, behavior, invert, stage.where());
    return add(make_literal_splitter(pattern.text, behavior, invert));
  }
  Status digits(const JsonFields& stage) {
    if (TRY(stage.boolean_or("individual_digits", false))) return add(make_splitter(SplitFamily::kDigits));
    return add_regex("\\p{N}+", SplitBehavior::kIsolated, false, stage.where());
  }

  PreTokenizerPlan plan_;
  std::vector<PreTokenizerPtr> stages_;
  std::size_t count_ = 0;
};

}  // namespace

Result<JsonFields> fields_of(const json::value& value, const std::string& where) {
  if (value.is_object()) return JsonFields(value.as_object(), where);
  return Error{.what = "an object is expected", .where = where};
}

Error unsupported_component(std::string_view role, std::string_view name, const std::string& where) {
  return Error{.kind = ErrorKind::kUnsupported,
               .what = "this " + std::string(role) + " is not supported",
               .where = where,
               .found = std::string(name)};
}

Result<NormalizerPtr> read_normalizer(const json::value& value, const std::string& where) {
  if (value.is_null()) return NormalizerPtr();
  const JsonFields stage = TRY(fields_of(value, where));
  const std::string type = TRY(stage.string("type"));
  if (type == "Sequence") return normalizer_sequence(stage);
  if (type == "NFC") return make_unicode_normalizer(UnicodeForm::kNfc);
  if (type == "NFD") return make_unicode_normalizer(UnicodeForm::kNfd);
  if (type == "NFKC") return make_unicode_normalizer(UnicodeForm::kNfkc);
  if (type == "NFKD") return make_unicode_normalizer(UnicodeForm::kNfkd);
  if (type == "Prepend") return make_prepend(TRY(stage.string("prepend")));
  if (type == "Replace") return replace_normalizer(stage);
  if (type == "Lowercase") return make_lowercase();
  if (type == "StripAccents") return make_strip_accents();
  if (type == "BertNormalizer") return bert_normalizer(stage);
  if (type == "Strip") {
    return make_strip(TRY(stage.boolean_or("strip_left", true)), TRY(stage.boolean_or("strip_right", true)));
  }
  if (type == "Precompiled") {
    return make_charsmap(TRY(decode_base64(TRY(stage.string("precompiled_charsmap")), where)), where);
  }
  return unsupported_component("normalizer", type, where);
}

Result<PreTokenizerPlan> read_pre_tokenizer(const json::value& value, const std::string& where) {
  PreTokenizerReader reader;
  TRY(reader.read(value, where));
  return reader.plan();
}

}  // namespace maestrale::text
