#include "net/tls.h"

#include <fmt/core.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <array>

#include "base/file.h"

namespace maestrale::net {
namespace {

constexpr std::uint64_t kMaxPemBytes = 1u << 20;
constexpr std::size_t kPiece = 16 << 10;  // a TLS record's

template <auto Free>
struct Delete {
  template <class T>
  void operator()(T* thing) const {
    Free(thing);
  }
};
using Bio = std::unique_ptr<BIO, Delete<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Delete<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Delete<EVP_PKEY_free>>;
using Context = std::unique_ptr<SSL_CTX, Delete<SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Delete<SSL_free>>;

// What the library noted last, in words; forgotten then.
std::string reason() {
  const unsigned long code = ERR_peek_last_error();
  const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return text == nullptr ? "" : text;
}

Error unusable(const std::string& file, std::string what, std::string expected) {
  return {.kind = ErrorKind::kInvalidInput,
          .what = std::move(what),
          .where = file,
          .expected = std::move(expected),
          .found = reason()};
}

Bio memory_of(const std::string& bytes) {
  return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

// A server cannot ask anyone. `asked` learns that the key has a passphrase.
int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                    unsigned int offered_length, void*) {
  static constexpr std::array<unsigned char, 9> kHttp = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* found = nullptr;
  const int result =
      SSL_select_next_proto(&found, length, kHttp.data(), kHttp.size(), offered, offered_length);
  *chosen = found;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

class OpenSslSession final : public TlsSession {
 public:
  explicit OpenSslSession(SSL_CTX* context) : session_(SSL_new(context)) {
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(session_.get(), in_, out_);  // which owns them now
    SSL_set_accept_state(session_.get());
  }

  State receive(std::string_view bytes, std::string& plain, std::string& wire) override {
    BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
    State state = State::kOpen;
    std::array<char, kPiece> piece;  // NOLINT: filled before it is read
    for (;;) {
      ERR_clear_error();
      const int count = SSL_read(session_.get(), piece.data(), static_cast<int>(piece.size()));
      if (count > 0) {
        plain.append(piece.data(), static_cast<std::size_t>(count));
        continue;
      }
      const int why = SSL_get_error(session_.get(), count);
      if (why == SSL_ERROR_ZERO_RETURN) state = State::kEnded;
      if (why != SSL_ERROR_ZERO_RETURN && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        state = State::kFailed;
      break;
    }
    take(wire);
    return state;
  }

  void send(std::string_view plain, std::string& wire) override {
    // The memory behind it takes everything, so a write is never partial.
    if (!plain.empty()) SSL_write(session_.get(), plain.data(), static_cast<int>(plain.size()));
    take(wire);
  }

  void finish(std::string& wire) override {
    if (is_established()) SSL_shutdown(session_.get());
    take(wire);
  }

  bool is_established() const override { return SSL_is_init_finished(session_.get()) == 1; }

 private:
  void take(std::string& wire) {
    char* bytes = nullptr;
    const long count = BIO_get_mem_data(out_, &bytes);
    if (count > 0) wire.append(bytes, static_cast<std::size_t>(count));
    (void)BIO_reset(out_);
    ERR_clear_error();
  }

  Session session_;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
};

class OpenSslContext final : public TlsContext {
 public:
  Status load(const std::string& certificate_file, const std::string& key_file) {
    context_.reset(SSL_CTX_new(TLS_server_method()));
    if (!context_) return unusable(certificate_file, "no TLS here", "OpenSSL");
    SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
    SSL_CTX_set_options(context_.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context_.get(), SSL_MODE_RELEASE_BUFFERS);  // idle connections keep none
    SSL_CTX_set_alpn_select_cb(context_.get(), choose_protocol, nullptr);
    TRY(load_certificates(certificate_file));
    return load_key(key_file, certificate_file);
  }
  std::unique_ptr<TlsSession> accept() override { return std::make_unique<OpenSslSession>(context_.get()); }

 private:
  Status load_certificates(const std::string& file) {
    const std::string text = TRY(read_file(file, kMaxPemBytes));
    const Bio bytes = memory_of(text);
    ERR_clear_error();
    const Certificate own(PEM_read_bio_X509(bytes.get(), nullptr, nullptr, nullptr));
    if (!own) return unusable(file, "no certificate in it", "PEM, as -----BEGIN CERTIFICATE-----");
    if (SSL_CTX_use_certificate(context_.get(), own.get()) != 1)
      return unusable(file, "unusable certificate", "a key of at least 2048 bits (RSA) or 256 (EC)");
    for (;;) {
      Certificate next(PEM_read_bio_X509(bytes.get(), nullptr, nullptr, nullptr));
      if (!next) break;
      if (SSL_CTX_add0_chain_cert(context_.get(), next.get()) != 1)
        return unusable(file, "unusable certificate", "");
      (void)next.release();  // the context's now
    }
    ERR_clear_error();
    return {};
  }

  Status load_key(const std::string& file, const std::string& certificate_file) {
    const std::string text = TRY(read_file(file, kMaxPemBytes));
    const Bio bytes = memory_of(text);
    bool asked = false;
    ERR_clear_error();
    const Key key(PEM_read_bio_PrivateKey(bytes.get(), nullptr, no_passphrase, &asked));
    if (asked) {
      ERR_clear_error();
      Error error = unusable(file, "the key has a passphrase", "one without");
      error.hint = "`openssl pkey -in FILE -out NEW` writes it without";
      return error;
    }
    if (!key) return unusable(file, "no private key in it", "PEM, as -----BEGIN PRIVATE KEY-----");
    if (SSL_CTX_use_PrivateKey(context_.get(), key.get()) == 1 &&
        SSL_CTX_check_private_key(context_.get()) == 1)
      return {};
    return unusable(file, "the key belongs to another certificate", "the key of " + certificate_file);
  }

  Context context_;
};

}  // namespace

Result<std::unique_ptr<TlsContext>> open_tls(const std::string& certificate, const std::string& key) {
  auto context = std::make_unique<OpenSslContext>();
  TRY(context->load(certificate, key));
  return std::unique_ptr<TlsContext>(std::move(context));
}

}  // namespace maestrale::net
