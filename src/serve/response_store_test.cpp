#include "serve/response_store.h"

#include <gtest/gtest.h>

namespace maestrale::serve {
namespace {

json::array items(std::string_view id) {
  json::array list;
  list.push_back(json::object{{"type", "message"}, {"id", id}});
  return list;
}

StoredResponse stored(std::string_view number, std::string previous = {}, std::string tenant = "a") {
  json::object response{{"id", number}, {"status", "completed"}};
  response["output"] = items("out" + std::string(number));
  return {.tenant = std::move(tenant),
          .previous = std::move(previous),
          .input = items("in" + std::string(number)),
          .response = std::move(response)};
}

std::string ids(const Result<json::array>& list) {
  if (!list.ok()) return list.error().where;
  std::string out;
  for (const json::value& item : *list) out += std::string(item.at("id").as_string()) + " ";
  return out;
}

class Exchange final : public net::Exchange {
 public:
  void respond(net::Response) override {}
  void begin(net::Response) override {}
  void write(std::string) override {}
  void end() override {}
  void keep_alive(std::string, double) override {}
  void cut() override { ++cuts; }
  std::size_t pending() const override { return 0; }
  void watch(std::function<void()>, std::function<void()>) override {}
  int cuts = 0;
};

TEST(ResponseStore, ChainsConversations) {
  ResponseStore store;
  store.put("1", stored("1"));
  store.put("2", stored("2", "1"));
  store.put("3", stored("3", "2"));
  EXPECT_EQ(ids(store.conversation("", "a")), "");
  EXPECT_EQ(ids(store.conversation("3", "a")), "in1 out1 in2 out2 in3 out3 ");
  EXPECT_EQ(ids(store.input_items("3", "a")), "in1 out1 in2 out2 in3 ");
  EXPECT_EQ(store.item("out2", "a")->at("id"), "out2");
  EXPECT_TRUE(store.remove("2", "a").ok());
  EXPECT_EQ(ids(store.conversation("3", "a")), "previous_response_id");
  EXPECT_EQ(ids(store.conversation("1", "a")), "in1 out1 ");
}

TEST(ResponseStore, KeepsTenantsApart) {
  ResponseStore store;
  store.put("1", stored("1"));
  EXPECT_EQ(store.find("1", "b").error().kind, ErrorKind::kNotFound);
  EXPECT_FALSE(store.remove("1", "b").ok());
  EXPECT_FALSE(store.cancel("1", "b").ok());
  EXPECT_EQ(ids(store.conversation("1", "b")), "previous_response_id");
  EXPECT_FALSE(store.item("out1", "b").has_value());
  EXPECT_TRUE(store.find("1", "a").ok());
}

TEST(ResponseStore, IsBoundedAndForgets) {
  ResponseStore::Clock::time_point now{};
  ResponseStore store({.bytes = 400, .age = std::chrono::seconds(100)}, [&now] { return now; });
  for (const char* id : {"1", "2", "3"}) store.put(id, stored(id));
  EXPECT_TRUE(store.find("1", "a").ok());  // the most recently used now
  for (const char* id : {"4", "5"}) store.put(id, stored(id));
  EXPECT_FALSE(store.find("2", "a").ok());
  EXPECT_TRUE(store.find("5", "a").ok());
  now += std::chrono::seconds(101);
  EXPECT_FALSE(store.find("5", "a").ok());
}

TEST(ResponseStore, Background) {
  ResponseStore store({.bytes = 1, .age = std::chrono::seconds(100)});
  const auto exchange = std::make_shared<Exchange>();
  const auto start = [&](const char* id) {
    StoredResponse response = stored(id);
    response.response["status"] = "in_progress";
    response.running = exchange;
    store.put(id, std::move(response));
  };
  start("1");
  start("2");
  EXPECT_TRUE(store.find("1", "a").ok()) << "what runs is not dropped";
  EXPECT_EQ(store.conversation("1", "a").error().kind, ErrorKind::kUsage);
  EXPECT_EQ(store.cancel("1", "a").value().at("status"), "cancelled");
  EXPECT_EQ(exchange->cuts, 1);
  store.finish("1", {{"status", "completed"}});
  EXPECT_EQ(store.cancel("1", "a").value().at("status"), "cancelled") << "again";
  EXPECT_TRUE(store.remove("2", "a").ok());
  EXPECT_EQ(exchange->cuts, 2);
  store.finish("2", {{"status", "completed"}});
  EXPECT_FALSE(store.find("2", "a").ok());
}

}  // namespace
}  // namespace maestrale::serve
