// One client of the server. Everything runs on the server's thread.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <unordered_map>

#include "net/server.h"
#include "net/tls.h"

namespace boost::asio {
class io_context;
}

namespace maestrale::net {

using Clock = std::chrono::steady_clock;
Clock::time_point after(double seconds);  // from now

class Line {
 public:
  virtual ~Line() = default;
  virtual void open() = 0;
  virtual void close() = 0;
  virtual bool idle() const = 0;                 // between requests, with nothing to send
  virtual void tick(Clock::time_point now) = 0;  // enforces the limits on time
};

// What connections share; lives as long as the server. Touched by the server's thread alone, but for atomics.
struct Shared {
  static constexpr std::size_t kScratch = 64 << 10;
  ServerOptions options;
  Handler handler;
  ErrorRenderer render_error;
  std::unique_ptr<TlsContext> tls;  // null: plain HTTP
  std::array<char, kScratch> scratch{};
  std::unordered_map<Line*, std::shared_ptr<Line>> open;
  bool stopping = false;
  std::atomic<std::int64_t> connections{0};
  std::atomic<std::uint64_t> accepted{0}, requests{0}, refused{0}, cut{0};
};

// Takes over the socket. `v6`: of that family. `peer`: the client's address.
std::shared_ptr<Line> make_line(boost::asio::io_context& context, int socket, bool v6, std::string peer,
                                Shared& shared);

}  // namespace maestrale::net
