#include "net/client.h"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>
#include <cmath>
#include <optional>

namespace maestrale::net {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Code = boost::system::error_code;
constexpr std::uint64_t kMostBody = std::uint64_t{1} << 32;

class BlockingClient final : public Client {
 public:
  BlockingClient(Url url, double timeout_s) : url_(std::move(url)), timeout_s_(timeout_s) {}

  Result<Response> send(const Request& request,
                        const std::function<bool(std::string_view)>& on_data) override {
    const bool fresh = !socket_;
    TRY(connect());
    auto answer = exchange(request, on_data);
    // A kept connection may have been closed meanwhile: once more on a new one.
    if (!answer.ok() && !fresh && !heard_) {
      socket_.reset();
      TRY(connect());
      answer = exchange(request, on_data);
    }
    if (!answer.ok()) socket_.reset();
    return answer;
  }

 private:
  Error failed(std::string what, const Code& code) const {
    if (code) what += ": " + code.message();
    return Error{
        .kind = ErrorKind::kIo, .what = std::move(what), .where = fmt::format("{}:{}", url_.host, url_.port)};
  }

  Status connect() {
    if (socket_) return {};
    Code code;
    asio::ip::tcp::resolver resolver(context_);
    const auto places = resolver.resolve(url_.host, std::to_string(url_.port), code);
    if (code) return failed("unknown host", code);
    socket_.emplace(context_);
    asio::connect(*socket_, places, code);
    if (code) {
      socket_.reset();
      return failed("cannot connect", code);
    }
    socket_->set_option(asio::ip::tcp::no_delay(true), code);
    const double whole = std::floor(timeout_s_);
    const timeval limit{.tv_sec = static_cast<time_t>(whole),
                        .tv_usec = static_cast<suseconds_t>((timeout_s_ - whole) * 1e6)};
    ::setsockopt(socket_->native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(socket_->native_handle(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return {};
  }

  std::string render(const Request& request) const {
    std::string out = fmt::format("{} {} HTTP/1.1\r\nHost: {}:{}\r\nContent-Length: {}\r\n", request.method,
                                  request.path, url_.host, url_.port, request.body.size());
    for (const Header& header : request.headers) out += header.name + ": " + header.value + "\r\n";
    return out + "\r\n" + request.body;
  }

  // Plain recv: Asio would go on waiting after the socket's own time limit.
  Result<std::size_t> receive(std::array<char, 16384>& buffer) {
    const auto got = ::recv(socket_->native_handle(), buffer.data(), buffer.size(), 0);
    if (got >= 0) return static_cast<std::size_t>(got);
    return failed("no answer", Code(errno, boost::system::system_category()));
  }

  Result<Response> exchange(const Request& request, const std::function<bool(std::string_view)>& on_data) {
    heard_ = false;
    Code code;
    const std::string bytes = render(request);
    asio::write(*socket_, asio::buffer(bytes), code);
    if (code) return failed("cannot send", code);
    http::response_parser<http::string_body> parser;
    parser.eager(true);
    parser.body_limit(kMostBody);
    if (request.method == "HEAD") parser.skip(true);
    std::array<char, 16384> buffer{};
    std::string in;
    while (!parser.is_done()) {
      const std::size_t count = TRY(receive(buffer));
      heard_ = heard_ || count > 0;
      if (count == 0) {
        if (!heard_) return failed("the connection was closed", {});
        parser.put_eof(code);
        if (code || !parser.is_done()) return failed("the answer ended early", code);
        break;
      }
      in.append(buffer.data(), count);
      while (!in.empty() && !parser.is_done()) {
        const std::size_t used = parser.put(asio::buffer(in), code);
        in.erase(0, used);
        if (code == http::error::need_more) break;
        if (code) return failed("not HTTP", code);
        if (used == 0) break;
      }
      std::string& body = parser.get().body();
      if (on_data && !body.empty()) {
        const bool more = on_data(body);
        body.clear();
        if (!more) return abandoned(parser.get());
      }
    }
    Response response = response_of(parser.get());
    if (!parser.get().keep_alive()) socket_.reset();
    return response;
  }

  template <class Message>
  Response response_of(const Message& message) const {
    Response response{
        .status = static_cast<int>(message.result_int()), .headers = {}, .body = message.body()};
    for (const auto& field : message) {
      response.headers.push_back(
          {lower_case(std::string_view(field.name_string().data(), field.name_string().size())),
           std::string(field.value())});
    }
    return response;
  }
  template <class Message>
  Response abandoned(const Message& message) {
    socket_.reset();
    return response_of(message);
  }

  Url url_;
  double timeout_s_;
  asio::io_context context_{1};
  std::optional<asio::ip::tcp::socket> socket_;
  bool heard_ = false;
};

}  // namespace

Result<Url> parse_url(std::string_view url) {
  const auto wrong = [url](std::string hint) {
    return Error{.kind = ErrorKind::kUsage,
                 .what = "unusable address",
                 .where = std::string(url),
                 .expected = "http://HOST:PORT",
                 .hint = std::move(hint)};
  };
  if (url.starts_with("https://")) return wrong("https is not supported by this client");
  if (url.starts_with("http://")) url.remove_prefix(7);
  Url out;
  const std::size_t slash = url.find('/');
  if (slash != std::string_view::npos) out.path = url.substr(slash);
  std::string_view place = url.substr(0, slash);
  const std::size_t bracket = place.rfind(']');
  const std::size_t colon = place.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    const std::string_view digits = place.substr(colon + 1);
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
    if (code != std::errc() || end != digits.data() + digits.size() || out.port < 1 || out.port > 65535)
      return wrong("the port is a number from 1 to 65535");
    place = place.substr(0, colon);
  }
  if (place.starts_with('[') && place.ends_with(']')) place = place.substr(1, place.size() - 2);
  if (place.empty()) return wrong("the host is missing");
  out.host = place;
  return out;
}

std::unique_ptr<Client> make_client(const Url& url, double timeout_s) {
  return std::make_unique<BlockingClient>(url, timeout_s);
}

std::vector<std::string> EventSplitter::push(std::string_view bytes) {
  rest_ += bytes;
  std::vector<std::string> out;
  std::size_t end = 0;
  while ((end = rest_.find("\n\n")) != std::string::npos) {
    std::string_view event = std::string_view(rest_).substr(0, end);
    std::string data;
    while (!event.empty()) {
      const std::size_t line_end = std::min(event.find('\n'), event.size());
      const std::string_view line = event.substr(0, line_end);
      event.remove_prefix(std::min(line_end + 1, event.size()));
      if (!line.starts_with("data:")) continue;
      if (!data.empty()) data += '\n';
      data += line.substr(line.starts_with("data: ") ? 6 : 5);
    }
    rest_.erase(0, end + 2);
    if (!data.empty()) out.push_back(std::move(data));
  }
  return out;
}

}  // namespace maestrale::net
