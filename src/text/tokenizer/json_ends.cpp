// Decoders and post-processors of tokenizer.json.
#include "text/tokenizer/json_stages.h"
#include "text/tokenizer/loading.h"

namespace maestrale::text {
namespace {

class DecoderReader {
 public:
  Status read(const json::value& value, const std::string& where) {
    if (value.is_null()) return {};
    const JsonFields stage = TRY(fields_of(value, where));
    const std::string type = TRY(stage.string("type"));
    if (type == "Sequence") {
      for (const json::value& part : *TRY(stage.array("decoders"))) TRY(read(part, where));
      return {};
    }
    if (type == "ByteLevel") plan.byte_level = true;
    if (type == "ByteFallback") plan.byte_fallback = true;
    if (type == "ByteLevel" || type == "ByteFallback" || type == "Fuse") return {};
    if (type == "Replace") return replace(stage);
    if (type == "Strip") return strip(stage);
    if (type == "Metaspace") return metaspace(stage);
    if (type == "WordPiece") {
      plan.word_piece = true;
      plan.continuing_prefix = TRY(stage.string_or("prefix", "##"));
      return {};
    }
    return unsupported_component("decoder", type, where);
  }

  DecoderPlan plan;

 private:
  Status replace(const JsonFields& stage) {
    const JsonFields pattern(*TRY(stage.object("pattern")), stage.where());
    if (pattern.has("Regex"))
      return unsupported_component("decoder", "Replace with an expression", stage.where());
    std::string from = TRY(pattern.string("String"));
    std::string to = TRY(stage.string("content"));
    plan.replacements.emplace_back(std::move(from), std::move(to));
    return {};
  }
  Status strip(const JsonFields& stage) {
    const std::int64_t start = TRY(stage.integer_or("start", 0));
    const bool blank = TRY(stage.string_or("content", " ")) == " ";
    if (!blank || start > 1 || start < 0 || TRY(stage.integer_or("stop", 0)) != 0) {
      return unsupported_component("decoder", "Strip of anything but one leading blank", stage.where());
    }
    plan.strip_leading_space = start == 1;
    return {};
  }
  Status metaspace(const JsonFields& stage) {
    const bool old_prefix = TRY(stage.boolean_or("add_prefix_space", true));
    plan.replacements.emplace_back(TRY(stage.string_or("replacement", kBlankBlock)), " ");
    plan.strip_leading_space =
        TRY(stage.string_or("prepend_scheme", old_prefix ? "always" : "never")) != "never";
    return {};
  }
};

// TemplateProcessing names its tokens; "special_tokens" gives their ids.
Status append_template_token(const JsonFields& stage, std::string_view name, std::vector<TokenId>& out) {
  const JsonFields specials(*TRY(stage.object("special_tokens")), stage.where() + " special_tokens");
  const JsonFields token(*TRY(specials.object(name)), specials.where());
  for (const json::value& id : *TRY(token.array("ids"))) {
    if (!id.is_int64() || id.as_int64() < 0 || id.as_int64() > 0x7fffffff) {
      return Error{.what = "a token id is not a number", .where = token.where(), .found = std::string(name)};
    }
    out.push_back(static_cast<TokenId>(id.as_int64()));
  }
  return {};
}

Status read_template(const JsonFields& stage, PostPlan& plan) {
  bool after = false;
  for (const json::value& value : *TRY(stage.array("single"))) {
    const JsonFields part = TRY(fields_of(value, stage.where() + " single"));
    if (part.has("Sequence")) {
      after = true;
      continue;
    }
    const JsonFields special(*TRY(part.object("SpecialToken")), part.where());
    TRY(append_template_token(stage, TRY(special.string("id")), after ? plan.suffix : plan.prefix));
  }
  return {};
}

// BertProcessing, RobertaProcessing: "cls" and "sep" are [spelling, id].
Status read_pair(const JsonFields& stage, std::string_view key, std::vector<TokenId>& out) {
  const json::array* pair = TRY(stage.array(key));
  if (pair->size() != 2 || !(*pair)[1].is_int64() || (*pair)[1].as_int64() < 0 ||
      (*pair)[1].as_int64() > 0x7fffffff) {
    return Error{
        .what = "a spelling and an id are expected", .where = stage.where(), .found = std::string(key)};
  }
  out.push_back(static_cast<TokenId>((*pair)[1].as_int64()));
  return {};
}

Status read_post(const json::value& value, const std::string& where, PostPlan& plan) {
  if (value.is_null()) return {};
  const JsonFields stage = TRY(fields_of(value, where));
  const std::string type = TRY(stage.string("type"));
  if (type == "ByteLevel") return {};
  if (type == "TemplateProcessing") return read_template(stage, plan);
  if (type == "Sequence") {
    for (const json::value& part : *TRY(stage.array("processors"))) TRY(read_post(part, where, plan));
    return {};
  }
  if (type != "BertProcessing" && type != "RobertaProcessing") {
    return unsupported_component("post_processor", type, where);
  }
  TRY(read_pair(stage, "cls", plan.prefix));
  return read_pair(stage, "sep", plan.suffix);
}

}  // namespace

Result<DecoderPlan> read_decoder(const json::value& value, const std::string& where) {
  DecoderReader reader;
  TRY(reader.read(value, where));
  return std::move(reader.plan);
}

Result<PostPlan> read_post_processor(const json::value& value, const std::string& where) {
  PostPlan plan;
  TRY(read_post(value, where, plan));
  return plan;
}

}  // namespace maestrale::text
