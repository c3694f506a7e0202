#include "text/tokenizer/tokenizer.h"

#include <algorithm>
#include <array>

#include "text/tokenizer/parts.h"

namespace maestrale::text {
namespace {

struct ModelSink final : PieceSink {
  ModelSink(const Model& m, std::vector<TokenId>& tokens) : model(m), out(tokens) {}
  void piece(std::string_view text) override { model.encode(text, out); }
  const Model& model;
  std::vector<TokenId>& out;
};

// Text after the normaliser.
class NormalizedStretch final : public SpecialTokens::Sink {
 public:
  NormalizedStretch(const TokenizerParts& parts, Stretch& stretch, std::vector<TokenId>& out)
      : parts_(parts), stretch_(stretch), out_(out) {}
  void text(std::string_view text) override {
    if (parts_.rewriter != nullptr) {
      pieces(parts_.rewriter->apply(text, stretch_));
    } else {
      pieces(text);
    }
    stretch_.first = false;
  }
  void token(TokenId token) override {
    out_.push_back(token);
    stretch_.first = false;
  }

 private:
  void pieces(std::string_view text) {
    if (parts_.pre_tokenizer == nullptr) return parts_.model->encode(text, out_);
    ModelSink sink(*parts_.model, out_);
    parts_.pre_tokenizer->split(text, sink);
  }

  const TokenizerParts& parts_;
  Stretch& stretch_;
  std::vector<TokenId>& out_;
};

// Text between special tokens, as it came.
class RawStretch final : public SpecialTokens::Sink {
 public:
  RawStretch(const TokenizerParts& parts, bool parse_special, std::vector<TokenId>& out)
      : parts_(parts), parse_special_(parse_special), out_(out) {}
  void text(std::string_view text) override {
    NormalizedStretch sink(parts_, stretch_, out_);
    if (parts_.normalizer == nullptr) {
      parts_.normalized_specials.split(text, parse_special_, sink);
    } else {
      parts_.normalized_specials.split(parts_.normalizer->apply(text, stretch_), parse_special_, sink);
    }
    stretch_.first = false;
  }
  void token(TokenId token) override {
    out_.push_back(token);
    stretch_.first = false;
  }

 private:
  const TokenizerParts& parts_;
  bool parse_special_;
  std::vector<TokenId>& out_;
  Stretch stretch_;
};

constexpr std::array<std::string_view, 19> kEndSpellings = {
    "<|eot_id|>",     "<|im_end|>", "<|end|>",    "<|return|>", "<|call|>", "<end_of_turn>",
    "<|endoftext|>",  "</s>",       "<|eom_id|>", "<|eot|>",    "<|eom|>",  "<|end_of_text|>",
    "<EOT>",          "<|EOT|>",    "[EOT]",      "[EOS]",      "<eos>",    "<｜end▁of▁sentence｜>",
    "<|end_of_turn|>"};

constexpr std::array<std::string_view, 13> kFillInSpellings = {
    "<|fim_prefix|>", "<fim-prefix>",  "<fim_prefix>",   "<｜fim▁begin｜>", "<|fim_suffix|>",
    "<fim-suffix>",   "<fim_suffix>",  "<｜fim▁hole｜>", "<|fim_middle|>",  "<fim-middle>",
    "<fim_middle>",   "<｜fim▁end｜>", "<|fim_pad|>"};

template <class Spellings>
bool among(const Spellings& spellings, std::string_view spelling) {
  return std::find(spellings.begin(), spellings.end(), spelling) != spellings.end();
}

}  // namespace

bool is_control_spelling(std::string_view spelling) {
  return among(kEndSpellings, spelling) || among(kFillInSpellings, spelling);
}

void add_end_token(TokenizerParts& parts, std::optional<TokenId> token) {
  if (!token || !parts.vocabulary.holds(*token)) return;
  if (std::find(parts.end_tokens.begin(), parts.end_tokens.end(), *token) != parts.end_tokens.end()) return;
  parts.end_tokens.push_back(*token);
}

void add_end_tokens_by_spelling(TokenizerParts& parts) {
  // gpt-oss: <|end|> ends a message, <|return|> and <|call|> the answer.
  const bool harmony = parts.specials.find("<|return|>") && parts.specials.find("<|call|>");
  for (const SpecialToken& special : parts.specials.tokens()) {
    if (!special.control || !among(kEndSpellings, special.spelling)) continue;
    if (harmony && special.spelling == "<|end|>") continue;
    add_end_token(parts, special.token);
  }
}

std::unique_ptr<const Tokenizer> finish(std::unique_ptr<TokenizerParts> parts) {
  parts->lookup.emplace(parts->spellings());
  for (const bool bytes : {false, true}) {  // a byte token never hides an ordinary one
    for (TokenId token = 0; token < parts->vocabulary.size(); ++token) {
      const TokenKind kind = parts->vocabulary.kind(token);
      if (kind != TokenKind::kUnused && (kind == TokenKind::kByte) == bytes) parts->lookup->insert(token);
    }
  }
  return std::make_unique<const Tokenizer>(std::move(parts));
}

Tokenizer::Tokenizer(std::unique_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

std::vector<TokenId> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<TokenId> out;
  if (options.add_special) out = parts_->prefix;
  RawStretch sink(*parts_, options.parse_special, out);
  parts_->specials.split(text, options.parse_special, sink);
  if (options.add_special) out.insert(out.end(), parts_->suffix.begin(), parts_->suffix.end());
  return out;
}

void Tokenizer::append_decoded(TokenId token, const DecodeOptions& options, bool& at_start,
                               std::string& out) const {
  const TokenKind kind = parts_->vocabulary.kind(token);
  if (kind == TokenKind::kUnused || (kind == TokenKind::kControl && options.skip_special)) return;
  std::string_view bytes = parts_->vocabulary.bytes(token);
  const bool strips = at_start && parts_->strip_leading_space && kind != TokenKind::kControl;
  if (strips && !bytes.empty() && bytes[0] == ' ') bytes.remove_prefix(1);
  if (kind != TokenKind::kControl) at_start = false;
  out.append(bytes);
}

std::string Tokenizer::decode(std::span<const TokenId> tokens, const DecodeOptions& options) const {
  std::string out;
  bool at_start = true;
  for (const TokenId token : tokens) append_decoded(token, options, at_start, out);
  return out;
}

std::int32_t Tokenizer::size() const { return parts_->vocabulary.size(); }
std::string_view Tokenizer::bytes(TokenId token) const { return parts_->vocabulary.bytes(token); }
TokenKind Tokenizer::kind(TokenId token) const { return parts_->vocabulary.kind(token); }

std::optional<TokenId> Tokenizer::find(std::string_view spelling) const {
  if (const auto token = parts_->specials.find(spelling)) return token;
  if (const auto token = parts_->normalized_specials.find(spelling)) return token;
  const TokenId token = parts_->lookup->find(spelling);
  return token == kNoToken ? std::nullopt : std::optional<TokenId>(token);
}

std::optional<TokenId> Tokenizer::bos() const { return parts_->bos; }
std::optional<TokenId> Tokenizer::unknown() const { return parts_->unknown; }
std::optional<TokenId> Tokenizer::padding() const { return parts_->padding; }
std::span<const TokenId> Tokenizer::end_tokens() const { return parts_->end_tokens; }
bool Tokenizer::adds_bos() const {
  return parts_->bos && !parts_->prefix.empty() && parts_->prefix.front() == *parts_->bos;
}
const FormatFacts& Tokenizer::format_facts() const { return parts_->format_facts; }
std::string_view Tokenizer::family() const { return parts_->family; }

}  // namespace maestrale::text
