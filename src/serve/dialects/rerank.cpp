#include "serve/dialects/rerank.h"

#include <algorithm>
#include <numeric>

#include "serve/dialects/embeddings.h"
#include "serve/fields.h"

namespace maestrale::serve {
namespace {

// Texts, or objects with a text.
Result<std::vector<std::string>> read_documents(const json::array& list) {
  if (list.empty()) return bad_field("documents", "there are no documents", "at least one");
  if (list.size() > kMaxInputs) {
    return bad_field("documents", "too many documents in one request",
                     "at most " + std::to_string(kMaxInputs), std::to_string(list.size()));
  }
  std::vector<std::string> documents;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string path = element("documents", i);
    if (const json::string* text = list[i].if_string()) {
      documents.emplace_back(*text);
      continue;
    }
    if (!list[i].is_object())
      return bad_field(path, "unusable document", "a text or an object with a text", kind_of(list[i]));
    Fields document = TRY(Fields::of(list[i], path));
    documents.push_back(TRY(document.required_string("text")));
    TRY(document.done());
  }
  return documents;
}

Status refuse_others(Fields& fields) {
  TRY(fields.refuse("rank_fields", "give documents as texts"));
  TRY(fields.refuse("max_chunks_per_doc", "documents are never cut"));
  TRY(fields.refuse("max_tokens_per_doc", "documents are never cut"));
  TRY(fields.only("truncation", {false}, "documents are never cut"));
  TRY(fields.only("return_embeddings", {false}, "a reranker has none; see /v1/embeddings"));
  return fields.refuse("priority", "requests take turns by key");
}

}  // namespace

Result<Encoding> read_rerank(const json::object& body) {
  Fields fields(body, "");
  Encoding out;
  chat::RerankRequest request;
  out.model = TRY(fields.required_string("model"));
  request.query = TRY(fields.required_string("query"));
  if (request.query.empty()) return fields.wrong("query", "at least one character");
  const json::array* documents = TRY(fields.array("documents"));
  if (documents == nullptr) return fields.missing("documents");
  request.documents = TRY(read_documents(*documents));
  const auto most = TRY(fields.integer("top_n", 1, kMany));
  const bool texts = TRY(fields.boolean("return_documents")).value_or(true);
  request.instruction = TRY(fields.string("instruction")).value_or("");
  out.label = TRY(fields.string("user")).value_or("");
  TRY(refuse_others(fields));
  TRY(fields.done());
  const auto shown = texts ? request.documents : std::vector<std::string>();
  out.request = std::move(request);
  out.write = [shown, most](const AnswerFacts& facts, const engine::EncodeAnswer& answer) -> json::value {
    std::vector<std::size_t> order(answer.scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return answer.scores[a] > answer.scores[b]; });
    if (most && static_cast<std::size_t>(*most) < order.size()) order.resize(static_cast<std::size_t>(*most));
    json::array results;
    for (const std::size_t index : order) {
      json::object result{{"index", index}, {"relevance_score", answer.scores[index]}};
      if (!shown.empty()) result["document"] = json::object{{"text", shown[index]}};
      results.push_back(std::move(result));
    }
    const std::int64_t tokens = answer.usage.prompt_tokens;
    const json::object usage{{"prompt_tokens", tokens}, {"total_tokens", tokens}};
    return json::object{{"id", "rerank-" + facts.id},
                        {"object", "list"},
                        {"model", facts.model},
                        {"results", std::move(results)},
                        {"usage", usage}};
  };
  return out;
}

}  // namespace maestrale::serve
