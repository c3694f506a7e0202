#include "chat/encoder.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

namespace maestrale::chat {
namespace {

// The engine says which text; the client knows it by its field.
Error in_field(Error error, const std::string& field, bool is_list) {
  const bool is_text =
      !error.where.empty() && error.where.find_first_not_of("0123456789") == std::string::npos;
  if (is_text) error.where = is_list ? fmt::format("{}[{}]", field, error.where) : field;
  if (is_text && error.kind == ErrorKind::kResource) error.kind = ErrorKind::kUsage;
  if (error.kind == ErrorKind::kUnsupported && error.where.empty()) error.where = "model";
  return error;
}

}  // namespace

Result<std::unique_ptr<Encoder>> Encoder::create(std::unique_ptr<engine::EncodeService> service) {
  if (service->engine().tokenizer() != nullptr)
    return std::unique_ptr<Encoder>(new Encoder(std::move(service)));  // NOLINT: the constructor is private
  const files::Checkpoint& checkpoint = service->engine().checkpoint();
  return Error{.kind = ErrorKind::kNotFound,
               .what = "no usable tokenizer",
               .where = checkpoint.path.string(),
               .hint = checkpoint.tokenizer_problem};
}

Result<engine::CancelFlag> Encoder::embed(const EmbedRequest& request, engine::EncodeDone done) {
  const text::Tokenizer& tokenizer = *engine().tokenizer();
  engine::EncodeRequest asked{.texts = {}, .dimensions = request.dimensions, .tenant = request.tenant};
  for (const auto& input : request.inputs) {
    engine::RerankPair& text = asked.texts.emplace_back();
    if (const auto* tokens = std::get_if<std::vector<text::TokenId>>(&input)) {
      text.tokens = *tokens;
    } else {
      text.tokens = tokenizer.encode(std::get<std::string>(input), {.add_special = true});
    }
    if (request.truncate && can_embed())
      engine::truncate_text(text.tokens, service_->embedder()->longest(), tokenizer);
  }
  auto flag = service_->submit(std::move(asked), std::move(done));
  if (!flag.ok()) return in_field(std::move(flag).error(), request.where, request.is_list);
  return flag;
}

Result<engine::CancelFlag> Encoder::rerank(const RerankRequest& request, engine::EncodeDone done) {
  engine::EncodeRequest asked{.texts = {}, .scores = true, .tenant = request.tenant};
  for (const std::string& document : request.documents) {
    if (!can_rank()) break;  // which is then refused
    asked.texts.push_back(service_->reranker()->pair_of(request.query, document, request.instruction));
  }
  auto flag = service_->submit(std::move(asked), std::move(done));
  if (!flag.ok()) return in_field(std::move(flag).error(), "documents", true);
  return flag;
}

}  // namespace maestrale::chat
