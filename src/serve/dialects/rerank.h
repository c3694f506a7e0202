// Reranking in the shape that Jina and Cohere share.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "serve/encoding.h"

namespace maestrale::serve {

// POST /v1/rerank: {model, query, documents, top_n?, return_documents?, instruction?}
Result<Encoding> read_rerank(const json::object& body);

}  // namespace maestrale::serve
