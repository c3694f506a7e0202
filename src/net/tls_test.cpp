#include "net/tls.h"

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "base/file.h"

namespace maestrale::net {
namespace {

std::string pem_of(const std::function<void(BIO*)>& write) {
  BIO* memory = BIO_new(BIO_s_mem());
  write(memory);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(memory, &bytes);
  std::string text(bytes, static_cast<std::size_t>(size));
  BIO_free(memory);
  return text;
}

// A key and a certificate that it signed itself.
struct Identity {
  std::string certificate, key, locked_key;
  Identity() {
    EVP_PKEY* pair = EVP_EC_gen("P-256");
    X509* own = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(own), 1);
    X509_gmtime_adj(X509_getm_notBefore(own), 0);
    X509_gmtime_adj(X509_getm_notAfter(own), 3600);
    X509_set_pubkey(own, pair);
    X509_NAME* name = X509_get_subject_name(own);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"),
                               -1, -1, 0);
    X509_set_issuer_name(own, name);
    EXPECT_GT(X509_sign(own, pair, EVP_sha256()), 0);
    certificate = pem_of([own](BIO* out) { PEM_write_bio_X509(out, own); });
    key = pem_of(
        [pair](BIO* out) { PEM_write_bio_PrivateKey(out, pair, nullptr, nullptr, 0, nullptr, nullptr); });
    char word[] = "word";
    locked_key = pem_of(
        [&](BIO* out) { PEM_write_bio_PrivateKey(out, pair, EVP_aes_128_cbc(), nullptr, 0, nullptr, word); });
    X509_free(own);
    EVP_PKEY_free(pair);
  }
};

class TlsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "tls-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string file(const std::string& name, const std::string& text) {
    EXPECT_TRUE(write_file(folder_ / name, text).ok());
    return (folder_ / name).string();
  }
  Error refused(const std::string& certificate, const std::string& key) {
    const auto context = open_tls(file("cert.pem", certificate), file("key.pem", key));
    EXPECT_FALSE(context.ok());
    return context.ok() ? Error{} : context.error();
  }
  std::filesystem::path folder_;
};

TEST_F(TlsTest, BadFilesAreNamed) {
  const Identity one, two;
  EXPECT_EQ(open_tls("/no/such.pem", "/no/such.key").error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(open_tls(file("c.pem", one.certificate), "/no/such.key").error().where, "/no/such.key");
  EXPECT_EQ(refused("text", one.key).what, "no certificate in it");
  EXPECT_EQ(refused("", one.key).what, "no certificate in it");
  EXPECT_EQ(refused(one.key, one.key).what, "no certificate in it");
  EXPECT_EQ(refused(one.certificate, one.certificate).what, "no private key in it");
  EXPECT_EQ(refused(one.certificate, "text").where, (folder_ / "key.pem").string());
  EXPECT_EQ(refused(one.certificate, two.key).what, "the key belongs to another certificate");
  const Error locked = refused(one.certificate, one.locked_key);
  EXPECT_EQ(locked.what, "the key has a passphrase");
  EXPECT_NE(locked.hint.find("openssl pkey"), std::string::npos);
}

// OpenSSL's own client, in memory.
class Client {
 public:
  explicit Client(int newest) : context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_max_proto_version(context_, newest);
    SSL_CTX_set_security_level(context_, 0);
    session_ = SSL_new(context_);
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(session_, in_, out_);
    SSL_set_connect_state(session_);
  }
  ~Client() {
    SSL_free(session_);
    SSL_CTX_free(context_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  // Until nothing more is to be said; what the server has read.
  std::string talk(TlsSession& server, TlsSession::State* last = nullptr) {
    std::string plain, wire;
    for (int round = 0; round < 10; ++round) {
      SSL_do_handshake(session_);
      ERR_clear_error();
      char* bytes = nullptr;
      const long size = BIO_get_mem_data(out_, &bytes);
      const std::string sent(bytes, static_cast<std::size_t>(size));
      (void)BIO_reset(out_);
      wire.clear();
      const auto state = server.receive(sent, plain, wire);
      if (last != nullptr) *last = state;
      hear(wire);
    }
    return plain;
  }
  void hear(const std::string& wire) { BIO_write(in_, wire.data(), static_cast<int>(wire.size())); }
  void write(const std::string& text) { SSL_write(session_, text.data(), static_cast<int>(text.size())); }
  void close() { SSL_shutdown(session_); }
  std::string read() {
    std::string text(1 << 20, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
      const int count = SSL_read(session_, text.data() + size, static_cast<int>(text.size() - size));
      if (count <= 0) break;
      size += static_cast<std::size_t>(count);
    }
    text.resize(size);
    return text;
  }
  bool is_established() const { return SSL_is_init_finished(session_) == 1; }

 private:
  SSL_CTX* context_;
  SSL* session_ = nullptr;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
};

TEST_F(TlsTest, CarriesBytesBothWays) {
  const Identity own;
  auto context = open_tls(file("cert.pem", own.certificate), file("key.pem", own.key));
  ASSERT_TRUE(context.ok()) << context.error().render();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const auto server = (*context)->accept();
    Client client(version);
    EXPECT_EQ(client.talk(*server), "");
    ASSERT_TRUE(client.is_established() && server->is_established()) << version;
    client.write("hello");
    EXPECT_EQ(client.talk(*server), "hello");
    const std::string large(500'000, 'x');
    std::string wire;
    server->send(large, wire);
    EXPECT_EQ(wire.find("xxxx"), std::string::npos);
    client.hear(wire);
    EXPECT_EQ(client.read(), large);
    client.close();
    auto state = TlsSession::State::kOpen;
    std::string plain;
    client.talk(*server, &state);
    EXPECT_EQ(state, TlsSession::State::kEnded);
  }
}

TEST_F(TlsTest, RefusesOldVersionsAndNoise) {
  const Identity own;
  auto context = open_tls(file("cert.pem", own.certificate), file("key.pem", own.key));
  ASSERT_TRUE(context.ok()) << context.error().render();
  const auto server = (*context)->accept();
  Client old(TLS1_1_VERSION);
  auto state = TlsSession::State::kOpen;
  old.talk(*server, &state);
  EXPECT_FALSE(server->is_established());
  const auto second = (*context)->accept();
  std::string plain, wire;
  EXPECT_EQ(second->receive("GET / HTTP/1.1\r\n\r\n", plain, wire), TlsSession::State::kFailed);
  EXPECT_EQ(plain, "");
}

}  // namespace
}  // namespace maestrale::net
