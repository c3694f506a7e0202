#include "net/server.h"

#include <fmt/core.h>
#include <sys/resource.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "net/connection.h"

namespace maestrale::net {
namespace {

namespace asio = boost::asio;
using Code = boost::system::error_code;

constexpr std::chrono::milliseconds kTick{100};

class AsioServer final : public Server {
 public:
  AsioServer(const ServerOptions& options, Handler handler, ErrorRenderer render_error) {
    shared_.options = options;
    shared_.handler = std::move(handler);
    shared_.render_error = std::move(render_error);
  }
  ~AsioServer() override {
    if (thread_.joinable()) stop(0);
    context_.stop();
    if (thread_.joinable()) thread_.join();
    shared_.open.clear();
  }

  Status listen() {
    if (!shared_.options.tls_certificate.empty())
      shared_.tls = TRY(open_tls(shared_.options.tls_certificate, shared_.options.tls_key));
    const std::string where = fmt::format("{}:{}", shared_.options.address, shared_.options.port);
    Code code;
    const std::string name = shared_.options.address == "localhost" ? "127.0.0.1" : shared_.options.address;
    const auto address = asio::ip::make_address(name, code);
    if (code) return Error{.kind = ErrorKind::kUsage, .what = "not an IP address", .where = where};
    const asio::ip::tcp::endpoint endpoint(address, static_cast<std::uint16_t>(shared_.options.port));
    acceptor_.open(endpoint.protocol(), code);
    if (!code) acceptor_.set_option(asio::socket_base::reuse_address(true), code);
    if (!code) acceptor_.bind(endpoint, code);
    if (!code) acceptor_.listen(4096, code);
    if (code) {
      return Error{.kind = ErrorKind::kIo,
                   .what = "cannot listen: " + code.message(),
                   .where = where,
                   .hint = "choose another --port"};
    }
    port_ = acceptor_.local_endpoint(code).port();
    raise_file_limit();
    accept();
    tick();
    thread_ = std::thread([this] { context_.run(); });
    return {};
  }

  int port() const override { return port_; }
  ServerStats stats() const override {
    return {.connections = shared_.connections,
            .accepted = shared_.accepted,
            .requests = shared_.requests,
            .refused = shared_.refused,
            .cut = shared_.cut};
  }
  void post(std::function<void()> work) override { asio::post(context_, std::move(work)); }

  void stop(double seconds) override {
    const auto until = after(seconds);
    asio::post(context_, [this] {
      Code code;
      acceptor_.close(code);
      shared_.stopping = true;
      close_where([](const Line& line) { return line.idle(); });
    });
    std::unique_lock lock(mutex_);
    const auto empty = [this] { return shared_.connections == 0; };
    while (Clock::now() < until && !empty()) changed_.wait_for(lock, std::chrono::milliseconds(20));
    bool done = false;
    asio::post(context_, [this, &done] {
      close_where([](const Line&) { return true; });
      const std::lock_guard inside(mutex_);
      done = true;
      changed_.notify_all();
    });
    changed_.wait(lock, [&done] { return done; });
  }

 private:
  // Thousands of connections need more descriptors than the usual soft limit.
  static void raise_file_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }

  template <class Test>
  void close_where(Test test) {
    std::vector<std::shared_ptr<Line>> chosen;
    for (const auto& [key, connection] : shared_.open) {
      if (test(*connection)) chosen.push_back(connection);
    }
    for (const auto& connection : chosen) connection->close();
  }

  void accept() {
    acceptor_.async_accept([this](const Code& code, asio::ip::tcp::socket socket) {
      if (!acceptor_.is_open()) return;
      if (code) {
        accept_again_ = true;  // out of descriptors, perhaps: the next tick tries again
        return;
      }
      admit(std::move(socket));
      accept();
    });
  }

  void admit(asio::ip::tcp::socket socket) {
    ++shared_.accepted;
    if (static_cast<std::int64_t>(shared_.open.size()) >= shared_.options.connections) {
      ++shared_.refused;
      Response response = shared_.render_error(503, "too many connections", "");
      response.headers.push_back({"Retry-After", "1"});
      const std::string bytes = render_closing(response);
      Code code;
      socket.non_blocking(true, code);
      if (!shared_.tls) socket.write_some(asio::buffer(bytes), code);
      return;
    }
    Code code;
    const auto remote = socket.remote_endpoint(code);
    const bool v6 = remote.address().is_v6();
    const std::string peer = remote.address().to_string();
    const auto connection = make_line(context_, socket.release(code), v6, peer, shared_);
    shared_.open.emplace(connection.get(), connection);
    shared_.connections = static_cast<std::int64_t>(shared_.open.size());
    connection->open();
  }

  void tick() {
    timer_.expires_after(kTick);
    timer_.async_wait([this](const Code& code) {
      if (code) return;
      const auto now = Clock::now();
      std::vector<std::shared_ptr<Line>> all;
      all.reserve(shared_.open.size());
      for (const auto& [key, connection] : shared_.open) all.push_back(connection);
      for (const auto& connection : all) connection->tick(now);
      if (std::exchange(accept_again_, false) && acceptor_.is_open()) accept();
      tick();
    });
  }

  Shared shared_;
  asio::io_context context_{1};
  asio::ip::tcp::acceptor acceptor_{context_};
  asio::steady_timer timer_{context_};
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int port_ = 0;
  bool accept_again_ = false;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options, Handler handler,
                                              ErrorRenderer render_error) {
  auto server = std::make_unique<AsioServer>(options, std::move(handler), std::move(render_error));
  TRY(server->listen());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace maestrale::net
