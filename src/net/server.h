// An HTTP/1.1 server on one thread: keep-alive, chunked answers, limits on everything a client can make large
// or slow. It knows no product: requests go to a handler, which answers through an Exchange when it likes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/http.h"

namespace maestrale::net {

// The way back for one request: either respond() once, or begin(), any number of write(), end(). All methods
// may be called from any thread; callbacks run on the server's thread. Dropping it unanswered closes the
// connection.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual void respond(Response response) = 0;
  virtual void begin(Response head) = 0;  // an answer whose body comes in pieces; head.body is its first
  virtual void write(std::string bytes) = 0;
  virtual void end() = 0;
  // Of an answer that has begun: whenever nothing was sent for so long, and nothing waits to be sent, these
  // bytes are, until it ends. So nobody on the way takes the connection for dead.
  virtual void keep_alive(std::string bytes, double seconds) = 0;
  virtual void cut() = 0;  // closes the connection, so that the client sees an unfinished answer
  // Bytes written that the client's system has not taken yet: a producer waits while there are many.
  virtual std::size_t pending() const = 0;
  // `gone`: the client closed the connection or was cut; called once, also where it has happened before.
  // `drained`: everything written so far has been taken. Both are forgotten when the answer is complete.
  virtual void watch(std::function<void()> gone, std::function<void()> drained) = 0;
};

using Handler = std::function<void(Request request, std::shared_ptr<Exchange> exchange)>;
// The body for what the server refuses itself; `path` is empty where the head could not be read.
using ErrorRenderer = std::function<Response(int status, std::string_view message, std::string_view path)>;

struct ServerOptions {
  std::string address = "127.0.0.1";
  int port = 0;  // 0: any that is free
  std::int64_t connections = 8192;
  std::size_t head_bytes = 16 << 10;
  std::size_t head_fields = 100;
  std::size_t body_bytes = 32 << 20;
  double head_s = 10;   // from a request's first byte to the end of its head
  double body_s = 120;  // from there to the end of its body
  double idle_s = 75;   // between requests
  double write_s = 10;  // a client that takes nothing for so long is cut
  double linger_s = 2;  // reads on after a refusal, so that the client sees it
  // PEM files, both or neither: then all connections speak TLS (src/net/tls.h).
  std::string tls_certificate = {}, tls_key = {};
};

struct ServerStats {
  std::int64_t connections = 0;  // open now
  std::uint64_t accepted = 0, requests = 0;
  std::uint64_t refused =
      0;                  // requests that were not HTTP, too large or too slow; connections beyond the limit
  std::uint64_t cut = 0;  // readers that were too slow
};

class Server {
 public:
  // Listens at once. The handler runs on the server's thread and must hand long work to others. Errors: the
  // address is unusable or taken; those of open_tls.
  static Result<std::unique_ptr<Server>> start(const ServerOptions& options, Handler handler,
                                               ErrorRenderer render_error);
  virtual ~Server() = default;  // closes everything at once
  virtual int port() const = 0;
  virtual ServerStats stats() const = 0;
  // Runs it soon on the server's thread.
  virtual void post(std::function<void()> work) = 0;
  // Accepts nothing more, closes idle connections, waits for answers under way, at most so long; then closes
  // the rest.
  virtual void stop(double seconds) = 0;
};

}  // namespace maestrale::net
