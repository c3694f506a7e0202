#include "serve/dialects/embeddings.h"

#include <gtest/gtest.h>

#include "serve/dialects/rerank.h"

namespace maestrale::serve {
namespace {

json::object object(std::string_view text) { return parse_json(text, "test").value().as_object(); }

std::string refused(const Result<Encoding>& result) {
  EXPECT_FALSE(result.ok());
  return result.ok() ? "" : result.error().where;
}

const AnswerFacts kFacts{.id = "x", .model = "m"};
const engine::EncodeAnswer kVectors{
    .vectors = {{1, -0.5F}, {0.25F, 2}}, .scores = {}, .usage = {.prompt_tokens = 7}};

TEST(Embeddings, OpenAi) {
  const auto made = read_openai_embeddings(
      object(R"({"model":"m","input":["a",[1,2]],"dimensions":2,"user":"me","encoding_format":"float"})"),
      false);
  ASSERT_TRUE(made.ok()) << made.error().render();
  const auto& request = std::get<chat::EmbedRequest>(made->request);
  EXPECT_EQ(std::get<std::string>(request.inputs[0]), "a");
  EXPECT_EQ(std::get<1>(request.inputs[1]), (std::vector<text::TokenId>{1, 2}));
  EXPECT_EQ(request.dimensions, 2);
  EXPECT_EQ(made->label, "me");
  EXPECT_EQ(made->write(kFacts, kVectors),
            object(R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":[1.0,-0.5]},
                {"object":"embedding","index":1,"embedding":[0.25,2.0]}],"model":"m",
                "usage":{"prompt_tokens":7,"total_tokens":7}})"));
  const auto packed =
      read_openai_embeddings(object(R"({"model":"m","input":[1,2],"encoding_format":"base64"})"), false);
  EXPECT_EQ(std::get<chat::EmbedRequest>(packed->request).inputs.size(), 1u);
  // 0x3f800000, 0xbf000000, little-endian.
  EXPECT_EQ(packed->write(kFacts, kVectors).at("data").at(0).at("embedding"), "AACAPwAAAL8=");
}

TEST(Embeddings, Mistral) {
  const auto made = read_openai_embeddings(
      object(R"({"model":"m","inputs":"a","output_dimension":2,"output_dtype":"float"})"), true);
  ASSERT_TRUE(made.ok()) << made.error().render();
  EXPECT_EQ(std::get<chat::EmbedRequest>(made->request).dimensions, 2);
  EXPECT_EQ(made->write(kFacts, kVectors).at("usage").at("completion_tokens"), 0);
  EXPECT_EQ(
      refused(read_openai_embeddings(object(R"({"model":"m","input":"a","output_dtype":"binary"})"), true)),
      "output_dtype");
}

TEST(Embeddings, RefusesByName) {
  const auto refuses = [](std::string_view more) {
    json::object body{{"model", "m"}, {"input", "a"}};
    for (const auto& [key, value] : object(more)) body[key] = value;
    return refused(read_openai_embeddings(body, false));
  };
  EXPECT_EQ(refuses(R"({"input":{}})"), "input");
  EXPECT_EQ(refuses(R"({"input":["a",""]})"), "input[1]");
  EXPECT_EQ(refuses(R"({"input":[[]]})"), "input[0]");
  EXPECT_EQ(refuses(R"({"input":[1,-1]})"), "input[1]");
  EXPECT_EQ(refuses(R"({"inputs":"b"})"), "inputs");
  EXPECT_EQ(refuses(R"({"dimensions":1.5})"), "dimensions");
  EXPECT_EQ(refuses(R"({"encoding_format":"x"})"), "encoding_format");
  EXPECT_EQ(refuses(R"({"truncate":true})"), "truncate");
}

TEST(Embeddings, Ollama) {
  const auto made =
      read_ollama_embed(object(R"({"model":"m","input":["a","b"],"truncate":true,"keep_alive":"5m"})"));
  ASSERT_TRUE(made.ok()) << made.error().render();
  EXPECT_TRUE(std::get<chat::EmbedRequest>(made->request).truncate);
  const json::value written = made->write(kFacts, kVectors);
  EXPECT_EQ(written.at("embeddings").at(1).at(1), 2.0);
  EXPECT_EQ(written.at("prompt_eval_count"), 7);
  const auto older = read_ollama_embeddings(object(R"({"model":"m","prompt":"a"})"));
  EXPECT_EQ(older->write(kFacts, kVectors), object(R"({"embedding":[1.0,-0.5]})"));
  EXPECT_EQ(refused(read_ollama_embed(object(R"({"model":"m","input":[1]})"))), "input[0]");
  EXPECT_EQ(refused(read_ollama_embed(object(R"({"model":"m","input":"a","options":{"num_ctx":5}})"))),
            "options.num_ctx");
}

TEST(Rerank, OrdersByScore) {
  const auto made =
      read_rerank(object(R"({"model":"m","query":"q","documents":["a",{"text":"b"},"c"],"top_n":2})"));
  ASSERT_TRUE(made.ok()) << made.error().render();
  EXPECT_EQ(std::get<chat::RerankRequest>(made->request).documents,
            (std::vector<std::string>{"a", "b", "c"}));
  const engine::EncodeAnswer scores{.vectors = {}, .scores = {0.25, 0.75, 0.5}, .usage = {}};
  EXPECT_EQ(made->write(kFacts, scores).at("results"),
            parse_json(R"([{"index":1,"relevance_score":0.75,"document":{"text":"b"}},
                           {"index":2,"relevance_score":0.5,"document":{"text":"c"}}])",
                       "test")
                .value());
  EXPECT_EQ(refused(read_rerank(object(R"({"model":"m","query":"q","documents":[]})"))), "documents");
  EXPECT_EQ(refused(read_rerank(object(R"({"model":"m","query":"q","documents":["a",{"title":"b"}]})"))),
            "documents[1].text");
  EXPECT_EQ(refused(read_rerank(object(R"({"model":"m","query":"q","documents":["a"],"top_n":0})"))),
            "top_n");
  EXPECT_EQ(
      refused(read_rerank(object(R"({"model":"m","query":"q","documents":["a"],"rank_fields":["x"]})"))),
      "rank_fields");
}

}  // namespace
}  // namespace maestrale::serve
