// TLS of a server, between bytes from the socket and bytes for the program: no socket and no library type
// appears here. TLS 1.2 and 1.3, HTTP/1.1 alone.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace maestrale::net {

// One connection's side. Not thread-safe.
class TlsSession {
 public:
  enum class State { kOpen, kEnded, kFailed };
  virtual ~TlsSession() = default;
  // Takes what the socket gave; what can be read is added to `plain`, what is to be sent to `wire`. kEnded:
  // the client has said that it sends no more. kFailed: not TLS, or broken; `wire` may hold an alert.
  virtual State receive(std::string_view bytes, std::string& plain, std::string& wire) = 0;
  // Adds `plain` to `wire`, encrypted. Only after the handshake.
  virtual void send(std::string_view plain, std::string& wire) = 0;
  // Says that nothing more comes.
  virtual void finish(std::string& wire) = 0;
  virtual bool is_established() const = 0;
};

// Certificate and key, read once; outlives its sessions.
class TlsContext {
 public:
  virtual ~TlsContext() = default;
  virtual std::unique_ptr<TlsSession> accept() = 0;
};

// PEM files: the server's certificate first, then those between it and the root; and its key. Errors name the
// file: missing, not PEM, a key with a passphrase, a key of another certificate, a key that is too weak.
Result<std::unique_ptr<TlsContext>> open_tls(const std::string& certificate, const std::string& key);

}  // namespace maestrale::net
