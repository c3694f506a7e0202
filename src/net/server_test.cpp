#include "net/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <thread>

#include "base/memory.h"
#include "net/client.h"

namespace maestrale::net {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Response plain_error(int status, std::string_view message, std::string_view) {
  return {.status = status, .headers = {}, .body = std::string(message)};
}

// A connection that writes whatever bytes a test likes.
class Raw {
 public:
  explicit Raw(int port, int receive_buffer = 0) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0)
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    const timeval limit{.tv_sec = 5, .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Raw() { close(); }
  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  void send(std::string_view bytes) {
    EXPECT_EQ(::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  // Until the server closes or nothing comes for five seconds.
  // Whether the other side has broken the connection off, within a second.
  bool is_reset() {
    for (int i = 0; i < 100; ++i) {
      int error = 0;
      socklen_t size = sizeof(error);
      ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error == ECONNRESET) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  std::string rest() {
    std::string out;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::recv(socket_, buffer, sizeof buffer, 0)) > 0;)
      out.append(buffer, static_cast<std::size_t>(n));
    return out;
  }
  std::string until(std::string_view mark) {
    std::string out;
    char byte = 0;
    while (out.find(mark) == std::string::npos && ::recv(socket_, &byte, 1, 0) == 1) out += byte;
    return out;
  }

 private:
  int socket_;
};

std::unique_ptr<Server> serve(Handler handler, ServerOptions options = {}) {
  auto server = Server::start(options, std::move(handler), plain_error);
  EXPECT_TRUE(server.ok());
  return std::move(server).value();
}

Handler echo() {
  return [](Request request, std::shared_ptr<Exchange> exchange) {
    exchange->respond(
        {.status = 200,
         .headers = {{"Content-Type", "text/plain"}},
         .body = request.method + " " + request.path + "?" + request.query + " " + request.body});
  };
}

TEST(Server, AnswersManyRequestsOnOneConnection) {
  const auto server = serve(echo());
  const auto client = make_client({.host = "127.0.0.1", .port = server->port()});
  for (int i = 0; i < 50; ++i) {
    const std::string body(static_cast<std::size_t>(i) * 1000, 'x');
    const auto response = client->send({.method = "POST", .path = "/a%20b?q=1", .body = body});
    ASSERT_TRUE(response.ok()) << response.error().render();
    EXPECT_EQ(response->body, "POST /a b?q=1 " + body);
  }
  EXPECT_EQ(server->stats().accepted, 1u);
  EXPECT_EQ(server->stats().requests, 50u);
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  const auto server = serve(echo());
  Raw raw(server->port());
  raw.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const std::string out = raw.rest();
  ASSERT_NE(out.find("GET /1?"), std::string::npos) << out;
  EXPECT_LT(out.find("GET /1?"), out.find("GET /2?"));
}

TEST(Server, ReadsChunkedBodiesAndTellsExpectingClientsToGoOn) {
  const auto server = serve(echo());
  Raw raw(server->port());
  raw.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_NE(raw.until("\r\n\r\n").find("100 Continue"), std::string::npos);
  raw.send("3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n");
  EXPECT_NE(raw.until("abcde").find("POST /? abcde"), std::string::npos);
}

struct BadCase {
  const char* name;
  std::string bytes;
  const char* status;
};

TEST(Server, RefusesWhatIsNotHttp) {
  ServerOptions options;
  options.head_bytes = 2000;
  options.body_bytes = 100;
  options.head_s = 0.4;
  options.linger_s = 0.2;
  std::atomic<int> handled{0};
  const auto server = serve(
      [&](Request, std::shared_ptr<Exchange> exchange) {
        ++handled;
        exchange->respond({});
      },
      options);
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\n";
  const BadCase cases[] = {
      {"garbage", "\x16\x03\x01 hello\r\n\r\n", "400"},
      {"bare line feeds", "GET / HTTP/1.1\nHost: a\n\n", "400"},
      {"folded header", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", "400"},
      {"blank before colon", post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400"},
      {"both lengths", post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
      {"two lengths", post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "400"},
      {"two equal lengths", post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "400"},
      {"signed length", post + "Content-Length: +3\r\n\r\nabc", "400"},
      {"other coding", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400"},
      {"two codings", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400"},
      {"negative chunk", post + "Transfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n0\r\n\r\n", "400"},
      {"no host", "GET / HTTP/1.1\r\n\r\n", "400"},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
      {"no path", "GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
      {"broken percent", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
      {"escaped NUL", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
      {"large head", "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(3000, 'x') + "\r\n\r\n", "431"},
      {"endless head", "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(3000, 'x'), "431"},
      {"large body", post + "Content-Length: 101\r\n\r\n", "413"},
      {"large chunks",
       post + "Transfer-Encoding: chunked\r\n\r\n65\r\n" + std::string(0x65, 'x') + "\r\n0\r\n\r\n", "413"},
      {"compressed", post + "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", "415"},
      {"other charset", post + "Content-Type: application/json; charset=utf-16\r\nContent-Length: 1\r\n\r\nx",
       "415"},
      {"quoted charset",
       post + "Content-Type: text/plain; a=b; Charset=\"latin1\"\r\nContent-Length: 1\r\n\r\nx", "415"},
      {"other version", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", "400"},
      {"no version", "GET /\r\n\r\n", "400"},
      {"expectation", post + "Expect: wonders\r\nContent-Length: 1\r\n\r\nx", "417"},
      {"slow head", "GET / HTTP/1.1\r\nHost:", "408"},
  };
  for (const BadCase& bad : cases) {
    Raw raw(server->port());
    raw.send(bad.bytes);
    const std::string answer = raw.rest();
    EXPECT_TRUE(answer.starts_with(std::string("HTTP/1.1 ") + bad.status)) << bad.name << ": " << answer;
  }
  EXPECT_EQ(handled, 0);
  for (int i = 0; i < 100 && server->stats().connections > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(server->stats().connections, 0);
}

TEST(Server, StreamsInChunksAndKeepsTheConnection) {
  const auto server = serve([](Request, std::shared_ptr<Exchange> exchange) {
    std::thread([exchange] {
      exchange->begin({.status = 200, .headers = {{"Content-Type", "text/event-stream"}}});
      for (int i = 0; i < 3; ++i) {
        exchange->write("data: " + std::to_string(i) + "\n\n");
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      exchange->end();
    }).detach();
  });
  const auto client = make_client({.host = "127.0.0.1", .port = server->port()});
  for (int round = 0; round < 3; ++round) {
    EventSplitter splitter;
    std::vector<std::string> events;
    const auto response = client->send({.method = "GET", .path = "/"}, [&](std::string_view bytes) {
      for (std::string& event : splitter.push(bytes)) events.push_back(std::move(event));
      return true;
    });
    ASSERT_TRUE(response.ok()) << response.error().render();
    EXPECT_EQ(events, (std::vector<std::string>{"0", "1", "2"}));
  }
  EXPECT_EQ(server->stats().accepted, 1u);
}

TEST(Server, NoticesAClientThatLeaves) {
  std::promise<void> gone;
  std::shared_ptr<Exchange> kept;
  const auto server = serve([&](Request, std::shared_ptr<Exchange> exchange) {
    kept = exchange;
    exchange->begin({});
    exchange->watch([&gone] { gone.set_value(); }, {});
  });
  Raw raw(server->port());
  raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  raw.until("\r\n\r\n");
  const auto start = Clock::now();
  raw.close();
  ASSERT_EQ(gone.get_future().wait_for(std::chrono::seconds(5)), std::future_status::ready);
  EXPECT_LT(since(start), 0.25);
  kept.reset();
}

TEST(Server, NoticesAClientThatLeavesBehindAPipelineOfBytes) {
  std::promise<void> gone;
  std::shared_ptr<Exchange> kept;
  ServerOptions options;
  options.head_bytes = 1000;
  const auto server = serve(
      [&](Request, std::shared_ptr<Exchange> exchange) {
        kept = exchange;
        exchange->watch([&gone] { gone.set_value(); }, {});
      },
      options);
  Raw raw(server->port());
  raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  raw.send(std::string(200000, 'x'));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  raw.close();
  ASSERT_EQ(gone.get_future().wait_for(std::chrono::milliseconds(1000)), std::future_status::ready);
  kept.reset();
}

TEST(Server, CutsAReaderThatTakesNothing) {
  ServerOptions options;
  options.write_s = 0.5;
  std::promise<void> gone;
  std::size_t most = 0;
  std::shared_ptr<Exchange> kept;
  const auto server = serve(
      [&](Request, std::shared_ptr<Exchange> exchange) {
        kept = exchange;
        exchange->begin({});
        // A producer with manners: writes only while little waits.
        const auto pump = [&kept, &most] {
          if (kept->pending() < 16384) kept->write(std::string(8192, 'x'));
          most = std::max(most, kept->pending());
        };
        exchange->watch([&gone] { gone.set_value(); }, pump);
        pump();
      },
      options);
  Raw raw(server->port(), 4096);
  raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_EQ(gone.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_TRUE(raw.is_reset());  // the system keeps nothing for it either
  EXPECT_EQ(server->stats().cut, 1u);
  EXPECT_LE(most, 64u << 10);
  kept.reset();
}

TEST(Server, HoldsManyIdleStreamsInLittleMemory) {
  constexpr std::size_t kStreams = 2000;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_max < 3 * kStreams) GTEST_SKIP() << "too few files may be open";
  std::mutex mutex;
  std::vector<std::shared_ptr<Exchange>> streams;
  const auto server = serve([&](Request, std::shared_ptr<Exchange> exchange) {
    exchange->begin({.status = 200, .headers = {{"Content-Type", "text/event-stream"}}});
    exchange->write("data: 1\n\n");
    const std::lock_guard lock(mutex);
    streams.push_back(std::move(exchange));
  });
  const std::uint64_t before = resident_bytes();
  std::vector<std::unique_ptr<Raw>> clients;
  for (std::size_t i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<Raw>(server->port()));
    clients.back()->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  for (const auto& client : clients) ASSERT_NE(client->until("data: 1").find("data: 1"), std::string::npos);
  EXPECT_EQ(server->stats().connections, static_cast<std::int64_t>(kStreams));
  const std::uint64_t after = resident_bytes();
  EXPECT_LT(after - std::min(before, after), kStreams * 20000);
  clients.clear();
  {
    const std::lock_guard lock(mutex);
    streams.clear();
  }
  for (int i = 0; i < 300 && server->stats().connections > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(server->stats().connections, 0);
}

TEST(Server, RefusesConnectionsBeyondItsLimit) {
  ServerOptions options;
  options.connections = 2;
  const auto server = serve(echo(), options);
  Raw first(server->port()), second(server->port());
  first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  first.until("GET /");
  second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  second.until("GET /");
  Raw third(server->port());
  EXPECT_TRUE(third.rest().starts_with("HTTP/1.1 503"));
}

TEST(Server, WaitsForAnswersWhenItStops) {
  std::atomic<bool> started{false};
  auto server = serve([&](Request, std::shared_ptr<Exchange> exchange) {
    std::thread([exchange, &started] {
      exchange->begin({});
      started = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      exchange->write("whole");
      exchange->end();
    }).detach();
  });
  Raw idle(server->port()), busy(server->port());
  busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  while (!started) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const auto start = Clock::now();
  std::thread stopper([&] { server->stop(10); });
  EXPECT_NE(busy.rest().find("whole"), std::string::npos);
  busy.close();
  idle.close();
  stopper.join();
  EXPECT_LT(since(start), 3);
}

TEST(Server, AnswerDroppedUnfinishedClosesTheConnection) {
  const auto server = serve([](Request, std::shared_ptr<Exchange>) {});
  Raw raw(server->port());
  raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(raw.rest(), "");
}

TEST(Http, ReadsAddresses) {
  EXPECT_EQ(parse_url("http://[::1]:80/x")->host, "::1");
  EXPECT_EQ(parse_url("localhost:8080")->port, 8080);
  EXPECT_FALSE(parse_url("https://a").ok());
  EXPECT_FALSE(parse_url("http://a:0").ok());
  EXPECT_EQ(parse_target("http://a/b?c=d")->path, "/b");
  EXPECT_EQ(parse_target("/b%2Fc?d")->path, "/b/c");
  EXPECT_EQ(path_of_line("POST http://a/b?c=d HTTP/1.1"), "/b");
  for (const char* line : {"", "POST", "POST /a", "POST %zz HTTP/1.1"})
    EXPECT_EQ(path_of_line(line), "") << line;
}

}  // namespace
}  // namespace maestrale::net
