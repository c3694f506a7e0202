// A blocking HTTP/1.1 client for plain http:// addresses: one connection, one request at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/http.h"

namespace maestrale::net {

struct Url {
  std::string host;
  int port = 80;
  std::string path = "/";  // with the query
};
// http://host[:port][/path]; https is refused by name.
Result<Url> parse_url(std::string_view url);

class Client {
 public:
  virtual ~Client() = default;
  // Connects anew where the connection was closed. `on_data` is given the body as it arrives and returns
  // false to break off; the response's own body stays empty then. Errors: no connection, a broken or endless
  // answer.
  virtual Result<Response> send(const Request& request,
                                const std::function<bool(std::string_view)>& on_data = {}) = 0;
};

// `timeout_s`: longest silence.
std::unique_ptr<Client> make_client(const Url& url, double timeout_s = 60);

// Splits a text/event-stream into the values of its data fields.
class EventSplitter {
 public:
  std::vector<std::string> push(std::string_view bytes);

 private:
  std::string rest_;
};

}  // namespace maestrale::net
