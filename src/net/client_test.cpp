#include "net/client.h"

#include <gtest/gtest.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <string>
#include <thread>

namespace maestrale::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

// Accepts one connection after the other; each hears one request, gets `answer` and is closed.
class OneAnswerEach {
 public:
  OneAnswerEach(int connections, std::string answer)
      : acceptor_(context_, {asio::ip::address_v4::loopback(), 0}) {
    thread_ = std::thread([this, connections, answer = std::move(answer)] {
      for (int i = 0; i < connections; ++i) {
        tcp::socket socket = acceptor_.accept();
        std::string head;
        asio::read_until(socket, asio::dynamic_buffer(head), "\r\n\r\n");
        if (!answer.empty()) asio::write(socket, asio::buffer(answer));
      }
    });
  }
  ~OneAnswerEach() { thread_.join(); }
  Url url() const { return {.host = "127.0.0.1", .port = acceptor_.local_endpoint().port()}; }

 private:
  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  std::thread thread_;
};

TEST(Client, ConnectsAnewWhereAKeptConnectionWasClosed) {
  const OneAnswerEach server(2, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
  const auto client = make_client(server.url(), 20);
  for (int i = 0; i < 2; ++i) {
    const auto answer = client->send({.method = "GET", .path = "/"});
    ASSERT_TRUE(answer.ok()) << answer.error().render();
    EXPECT_EQ(answer->body, "hi");
  }
}

TEST(Client, SaysWhereNothingIsAnswered) {
  const OneAnswerEach server(1, "");
  const auto answer = make_client(server.url(), 20)->send({.method = "GET", .path = "/"});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().what, "the connection was closed");
}

TEST(Client, SaysWhereAnAnswerEndsEarly) {
  const OneAnswerEach server(1, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi");
  const auto answer = make_client(server.url(), 20)->send({.method = "GET", .path = "/"});
  ASSERT_FALSE(answer.ok());
  EXPECT_TRUE(answer.error().what.starts_with("the answer ended early")) << answer.error().what;
}

}  // namespace
}  // namespace maestrale::net
