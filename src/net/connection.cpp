// tidy(file-length): the states of one connection and what leads from one to the next belong together
#include "net/connection.h"

#include <fmt/core.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <utility>

#include "net/wire.h"

namespace maestrale::net {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Code = boost::system::error_code;
using Parser = http::request_parser<http::string_body>;

constexpr int kSendBuffer = 64 << 10;

class Connection final : public Line, public std::enable_shared_from_this<Connection> {
 public:
  Connection(asio::io_context& context, std::string peer, Shared& shared)
      : context_(context), socket_(context), shared_(shared), peer_(std::move(peer)) {
    if (shared.tls) tls_ = shared.tls->accept();
  }

  void assign(int socket, bool v6) {
    Code code;
    socket_.assign(v6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), socket, code);
  }

  void open() override {
    Code code;
    socket_.non_blocking(true, code);
    socket_.set_option(asio::ip::tcp::no_delay(true), code);
    socket_.set_option(asio::socket_base::keep_alive(true), code);
    socket_.set_option(asio::socket_base::send_buffer_size(kSendBuffer), code);
    deadline_ = after(tls_ ? shared_.options.head_s : shared_.options.idle_s);
    wait_to_read();
  }

  // The exchange's side.
  void answer(Response response);
  void begin(Response head);
  void write(std::string bytes);
  void end();
  void keep_alive(std::string bytes, double seconds);
  void watch(std::function<void()> gone, std::function<void()> drained);
  void abandoned(std::uint64_t request) {
    if (state_ == State::kHandling && request == request_ && !complete_) close();
  }
  asio::io_context& context() { return context_; }
  std::uint64_t request() const { return request_; }
  bool handles(std::uint64_t request) const { return state_ == State::kHandling && request == request_; }

  bool idle() const override { return state_ == State::kHead && in_.empty() && out_.empty(); }
  void tick(Clock::time_point now) override;
  void close() override;
  std::atomic<std::size_t> pending{0};

 private:
  enum class State { kHead, kBody, kHandling, kRefused, kClosed };

  void wait_to_read();
  void readable();
  void take(std::string_view bytes);
  bool decrypt(std::string_view bytes, std::string& plain);
  void refuse_wire(std::string_view bytes, std::string alert);
  void read_end();
  void process();
  bool read_head();
  bool feed();
  bool accept_head();
  void dispatch();
  void refuse(int status, std::string_view message);
  void send(std::string bytes);
  void send_raw(std::string_view bytes);
  void flush();
  void flushed();
  void finished();

  asio::io_context& context_;
  asio::ip::tcp::socket socket_;
  Shared& shared_;
  std::unique_ptr<TlsSession> tls_;  // null: plain HTTP
  std::string peer_;
  State state_ = State::kHead;
  std::string in_, out_;
  std::size_t sent_ = 0;  // of out_
  std::unique_ptr<Parser> parser_;
  Request head_;
  std::uint64_t request_ = 0;
  bool keep_alive_ = false, chunked_ = false, head_only_ = false, answered_ = false, complete_ = false;
  bool reading_ = false, writing_ = false, ended_input_ = false, deaf_ = false;
  Clock::time_point deadline_{}, write_deadline_{}, quiet_until_{};
  std::string sign_of_life_;  // sent where the answer is quiet; empty: nothing is
  double quiet_s_ = 0;
  std::function<void()> gone_, drained_;
};

// Keeps the connection while its answer is under way. Thread-safe: everything is posted to the server's
// thread.
class ConnectionExchange final : public Exchange {
 public:
  explicit ConnectionExchange(std::shared_ptr<Connection> connection)
      : connection_(std::move(connection)), request_(connection_->request()) {}
  ~ConnectionExchange() override {
    const auto request = request_;
    asio::post(connection_->context(), [c = connection_, request] { c->abandoned(request); });
  }
  void respond(Response response) override {
    later([response = std::move(response)](Connection& c) mutable { c.answer(std::move(response)); });
  }
  void begin(Response head) override {
    later([head = std::move(head)](Connection& c) mutable { c.begin(std::move(head)); });
  }
  void write(std::string bytes) override {
    connection_->pending += bytes.size();
    asio::post(connection_->context(),
               [c = connection_, request = request_, bytes = std::move(bytes)]() mutable {
                 c->pending -= bytes.size();
                 if (c->handles(request)) c->write(std::move(bytes));
               });
  }
  void end() override {
    later([](Connection& c) { c.end(); });
  }
  void keep_alive(std::string bytes, double seconds) override {
    later([bytes = std::move(bytes), seconds](Connection& c) mutable {
      c.keep_alive(std::move(bytes), seconds);
    });
  }
  void cut() override {
    later([](Connection& c) { c.close(); });
  }
  std::size_t pending() const override { return connection_->pending; }
  void watch(std::function<void()> gone, std::function<void()> drained) override {
    asio::post(connection_->context(), [c = connection_, request = request_, gone = std::move(gone),
                                        drained = std::move(drained)]() mutable {
      if (c->handles(request)) {
        c->watch(std::move(gone), std::move(drained));
      } else if (gone) {
        gone();
      }
    });
  }

 private:
  template <class Work>
  void later(Work work) {
    asio::post(connection_->context(),
               [c = connection_, request = request_, work = std::move(work)]() mutable {
                 if (c->handles(request)) work(*c);
               });
  }
  std::shared_ptr<Connection> connection_;
  std::uint64_t request_;
};

void Connection::wait_to_read() {
  if (reading_ || state_ == State::kClosed || ended_input_) return;
  reading_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_read, [self = shared_from_this()](const Code& code) {
    self->reading_ = false;
    if (code || self->state_ == State::kClosed) return;
    self->readable();
  });
}

void Connection::readable() {
  Code code;
  const std::size_t count = socket_.read_some(asio::buffer(shared_.scratch), code);
  if (code == asio::error::would_block || code == asio::error::try_again) return wait_to_read();
  if (code || count == 0) return read_end();
  std::string_view bytes(shared_.scratch.data(), count);
  std::string plain;
  if (tls_) {
    if (!decrypt(bytes, plain)) return;
    bytes = plain;
  }
  if (!bytes.empty()) take(bytes);
  if (state_ == State::kClosed) return;
  if (ended_input_) return read_end();
  wait_to_read();
}

// False where the connection is not heard any more.
bool Connection::decrypt(std::string_view bytes, std::string& plain) {
  const bool was_established = tls_->is_established();
  std::string wire;
  const TlsSession::State state = tls_->receive(bytes, plain, wire);
  if (state == TlsSession::State::kFailed) {
    refuse_wire(was_established ? "" : bytes, std::move(wire));
    return false;
  }
  if (!was_established && tls_->is_established()) deadline_ = after(shared_.options.idle_s);
  send_raw(wire);
  ended_input_ = state == TlsSession::State::kEnded;
  return state_ != State::kClosed;
}

// Not TLS, or broken. `bytes`: what came instead of a handshake.
void Connection::refuse_wire(std::string_view bytes, std::string alert) {
  if (state_ != State::kHead) return close();
  ++shared_.refused;
  tls_.reset();
  state_ = State::kRefused;
  keep_alive_ = false;
  complete_ = true;
  deadline_ = after(shared_.options.linger_s);
  const bool is_http = !bytes.empty() && bytes.front() >= 'A' && bytes.front() <= 'Z';
  if (is_http) {
    alert = render_closing(shared_.render_error(400, "this port speaks TLS: use https://", ""));
  }
  if (alert.empty()) return close();
  send_raw(alert);
  if (state_ != State::kClosed) wait_to_read();
}

void Connection::take(std::string_view bytes) {
  if (state_ == State::kHead && in_.empty()) deadline_ = after(shared_.options.head_s);
  if (state_ != State::kRefused && !deaf_) in_.append(bytes);
  if (state_ == State::kHandling && in_.size() > shared_.options.head_bytes) {
    // Whoever sends so much ahead of the answer is not heard any more: what comes is read only to learn when
    // the client leaves.
    deaf_ = true;
    keep_alive_ = false;
    in_.clear();
    in_.shrink_to_fit();
  }
  process();
}

// The client will send no more. Where somebody watches an answer, nobody is left to take it.
void Connection::read_end() {
  ended_input_ = true;
  keep_alive_ = false;
  if (state_ != State::kHandling || gone_) close();
}

void Connection::process() {
  while (!in_.empty()) {
    if (state_ == State::kHead && !read_head()) return;
    if (state_ == State::kBody && !feed()) return;
    if (state_ != State::kHead && state_ != State::kBody) return;
  }
}

// True where the parser may go on.
bool Connection::read_head() {
  while (in_.starts_with("\r\n")) in_.erase(0, 2);
  const std::size_t end = in_.find("\r\n\r\n");
  const std::string_view seen = std::string_view(in_).substr(0, end == std::string::npos ? end : end + 4);
  head_ = {};
  head_.path = path_of_line(
      seen.substr(0, seen.find("\r\n")));  // who is refused now reads it as that path's clients do
  if (seen.size() > shared_.options.head_bytes) {
    refuse(431, "the request's head is too large");
    return false;
  }
  if (end == std::string::npos) {
    if (has_bare_line_feed(in_)) refuse(400, "a line that does not end with CR LF");
    return false;
  }
  if (const Status status = check_raw_head(seen); !status.ok()) {
    refuse(400, status.error().what);
    return false;
  }
  parser_ = std::make_unique<Parser>();
  parser_->eager(true);
  parser_->header_limit(static_cast<std::uint32_t>(shared_.options.head_bytes));
  parser_->body_limit(shared_.options.body_bytes);
  state_ = State::kBody;
  deadline_ = after(shared_.options.body_s);
  return true;
}

bool Connection::feed() {
  Code code;
  const bool had_head = parser_->is_header_done();
  const std::size_t used = parser_->put(asio::buffer(in_), code);
  in_.erase(0, used);
  if (!had_head && parser_->is_header_done() && !accept_head()) return false;
  if (code == http::error::need_more) return false;
  if (code == http::error::body_limit) {
    refuse(413, fmt::format("the body is larger than {} bytes", shared_.options.body_bytes));
    return false;
  }
  if (code) {
    refuse(code == http::error::header_limit ? 431 : 400, "malformed HTTP: " + code.message());
    return false;
  }
  if (!parser_->is_done()) return used > 0;
  dispatch();
  return true;
}

// What the head says is kept before any trailer could change it.
bool Connection::accept_head() {
  const auto& message = parser_->get();
  head_.method = std::string(message.method_string());
  head_.peer = peer_;
  for (const auto& field : message) {
    head_.headers.push_back(
        {lower_case(std::string_view(field.name_string().data(), field.name_string().size())),
         std::string(field.value())});
  }
  keep_alive_ = message.keep_alive();
  chunked_ = message.version() >= 11;
  head_only_ = head_.method == "HEAD";
  const auto target = parse_target(std::string_view(message.target().data(), message.target().size()));
  const HeadVerdict verdict =
      check_head(head_, static_cast<int>(message.version()), shared_.options.head_fields);
  if (!target.ok() || verdict.status != 0) {
    refuse(target.ok() ? verdict.status : 400, target.ok() ? verdict.message : target.error().what);
    return false;
  }
  head_.path = target->path;
  head_.query = target->query;
  if (verdict.expects_continue && !parser_->is_done()) send("HTTP/1.1 100 Continue\r\n\r\n");
  return true;
}

void Connection::dispatch() {
  Request request = std::move(head_);
  request.body = std::move(parser_->get().body());
  parser_.reset();
  state_ = State::kHandling;
  answered_ = complete_ = false;
  sign_of_life_.clear();
  ++request_;
  ++shared_.requests;
  shared_.handler(std::move(request), std::make_shared<ConnectionExchange>(shared_from_this()));
}

void Connection::refuse(int status, std::string_view message) {
  ++shared_.refused;
  if (tls_ && !tls_->is_established()) return close();
  Response response = shared_.render_error(status, message, head_.path);
  state_ = State::kRefused;
  keep_alive_ = false;
  parser_.reset();
  in_.clear();
  deadline_ = after(shared_.options.linger_s);
  complete_ = true;
  send(render_closing(response, head_only_));
}

void Connection::answer(Response response) {
  if (answered_) return;
  answered_ = complete_ = true;
  if (shared_.stopping) keep_alive_ = false;
  std::vector<Header> more{{"Connection", keep_alive_ ? "keep-alive" : "close"}};
  if (response.status != 204) more.push_back({"Content-Length", std::to_string(response.body.size())});
  std::string bytes = render_head(response, more);
  if (!head_only_ && response.status != 204) bytes += response.body;
  send(std::move(bytes));
}

void Connection::begin(Response head) {
  if (answered_) return;
  answered_ = true;
  if (shared_.stopping || !chunked_) keep_alive_ = false;
  std::vector<Header> more{{"Connection", keep_alive_ ? "keep-alive" : "close"}};
  if (chunked_) more.push_back({"Transfer-Encoding", "chunked"});
  send(render_head(head, more));
  write(std::move(head.body));
}

void Connection::write(std::string bytes) {
  if (head_only_ || complete_ || bytes.empty()) return;
  quiet_until_ = after(quiet_s_);
  send(chunked_ ? render_chunk(bytes) : std::move(bytes));
}

void Connection::end() {
  if (!answered_ || complete_) return;
  complete_ = true;
  gone_ = drained_ = nullptr;
  if (chunked_ && !head_only_) return send("0\r\n\r\n");
  if (out_.empty()) finished();
}

void Connection::keep_alive(std::string bytes, double seconds) {
  sign_of_life_ = std::move(bytes);
  quiet_s_ = seconds;
  quiet_until_ = after(seconds);
}

void Connection::watch(std::function<void()> gone, std::function<void()> drained) {
  if (complete_) return;
  gone_ = std::move(gone);
  drained_ = std::move(drained);
  if (ended_input_) close();
}

void Connection::send(std::string bytes) {
  if (!tls_) return send_raw(bytes);
  std::string wire;
  tls_->send(bytes, wire);
  send_raw(wire);
}

void Connection::send_raw(std::string_view bytes) {
  if (state_ == State::kClosed || bytes.empty()) return;
  if (out_.empty()) write_deadline_ = after(shared_.options.write_s);
  pending += bytes.size();
  out_ += bytes;
  flush();
}

void Connection::flush() {
  while (!writing_ && sent_ < out_.size()) {
    Code code;
    const std::size_t count =
        socket_.write_some(asio::buffer(out_.data() + sent_, out_.size() - sent_), code);
    if (code == asio::error::would_block || code == asio::error::try_again) {
      writing_ = true;
      socket_.async_wait(asio::ip::tcp::socket::wait_write, [self = shared_from_this()](const Code& failed) {
        self->writing_ = false;
        if (!failed && self->state_ != State::kClosed) self->flush();
      });
      return;
    }
    if (code) return close();
    sent_ += count;
    pending -= count;
    write_deadline_ = after(shared_.options.write_s);
  }
  if (!writing_) flushed();
}

void Connection::flushed() {
  out_.clear();
  sent_ = 0;
  if (out_.capacity() > Shared::kScratch) out_.shrink_to_fit();
  if (complete_) return finished();
  if (drained_) {
    const auto drained = drained_;
    drained();
  }
}

// The answer is complete and sent.
void Connection::finished() {
  Code code;
  gone_ = drained_ = nullptr;
  if (state_ == State::kRefused || !keep_alive_ || shared_.stopping) {
    if (ended_input_) return close();
    state_ = State::kRefused;  // reads on for a moment, so that what was sent arrives
    deadline_ = after(shared_.options.linger_s);
    if (tls_) {
      std::string wire;
      tls_->finish(wire);
      socket_.write_some(asio::buffer(wire), code);  // where there is room: the answer is complete anyway
    }
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, code);
    return wait_to_read();
  }
  if (state_ != State::kHandling) return;
  state_ = State::kHead;
  complete_ = answered_ = false;
  deadline_ = after(in_.empty() ? shared_.options.idle_s : shared_.options.head_s);
  // Not from here: the next request's answer would come from within this one's.
  asio::post(context_, [self = shared_from_this()] {
    if (self->state_ == State::kHead) self->process();
    self->wait_to_read();
  });
}

void Connection::tick(Clock::time_point now) {
  if (!out_.empty() && now > write_deadline_) {
    ++shared_.cut;
    // Without this the system goes on offering what was sent, for minutes, from memory of its own.
    Code code;
    socket_.set_option(asio::socket_base::linger(true, 0), code);
    return close();
  }
  if (state_ == State::kHandling) {
    if (answered_ && !sign_of_life_.empty() && out_.empty() && now >= quiet_until_) write(sign_of_life_);
    return;
  }
  if (now < deadline_) return;
  if (state_ == State::kRefused || idle()) return close();
  refuse(408, "the request took too long");
}

void Connection::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  Code code;
  socket_.close(code);
  const auto gone = std::exchange(gone_, nullptr);
  drained_ = nullptr;
  const auto self = shared_from_this();
  shared_.open.erase(this);
  shared_.connections = static_cast<std::int64_t>(shared_.open.size());
  if (gone) gone();
}

}  // namespace

Clock::time_point after(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

std::shared_ptr<Line> make_line(asio::io_context& context, int socket, bool v6, std::string peer,
                                Shared& shared) {
  auto connection = std::make_shared<Connection>(context, std::move(peer), shared);
  connection->assign(socket, v6);
  return connection;
}

}  // namespace maestrale::net
