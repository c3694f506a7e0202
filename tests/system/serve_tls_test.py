#!/usr/bin/env python3
"""The server behind TLS, with a certificate that is made on the spot."""

import http.client
import json
import signal
import socket
import ssl
import subprocess
import time
import unittest

from program import SystemTest, run
from server import Server

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "temperature": 0, "ignore_eos": True}


class Tls(SystemTest):
    def setUp(self):
        super().setUp()
        self.certificate, self.key = self.folder / "cert.pem", self.folder / "key.pem"
        self.make(self.certificate, self.key)
        self.server = None

    def tearDown(self):
        if self.server and self.server.process.poll() is None:
            self.server.stop(signal.SIGKILL)
        super().tearDown()

    def make(self, certificate, key):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", key, "-out", certificate], check=True, capture_output=True)

    def start(self, *options):
        self.server = Server(self.folder, "--tls-cert", str(self.certificate), "--tls-key", str(self.key), *options)
        self.context = ssl.create_default_context(cafile=self.certificate)

    def connect(self, **limits):
        context = ssl.create_default_context(cafile=self.certificate)
        for name, value in limits.items():
            setattr(context, name, value)
        return context.wrap_socket(socket.create_connection((self.server.host, self.server.port), timeout=20),
                                   server_hostname="localhost")

    def test_answers_as_without(self):
        self.start()
        line = http.client.HTTPSConnection(self.server.host, self.server.port, context=self.context, timeout=60)
        self.addCleanup(line.close)
        for stream in (False, True, False):  # one connection, kept
            line.request("POST", "/v1/chat/completions", json.dumps(CHAT | {"max_tokens": 20, "stream": stream}))
            response = line.getresponse()
            body = response.read()
            self.assertEqual(response.status, 200, body)
            self.assertTrue(body.endswith(b"data: [DONE]\n\n") if stream else json.loads(body)["choices"])
        large = json.dumps({"model": "tiny", "prompt": "x" * 300_000})
        line.request("POST", "/tokenize", large)
        response = line.getresponse()
        self.assertGreaterEqual(json.loads(response.read())["count"], 300_000)  # with what the vocabulary puts before
        line.close()
        self.assertEqual(self.server.stop(), 0)

    def test_versions(self):
        self.start()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.connect(maximum_version=version, minimum_version=version) as line:
                line.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = b""
                while piece := line.recv(65536):
                    answer += piece
                self.assertTrue(answer.endswith(b'{"status":"ok"}'), answer)  # and the end was announced, or recv had failed
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.set_alpn_protocols(["h2", "http/1.1"])
        old.load_verify_locations(self.certificate)
        with old.wrap_socket(socket.create_connection((self.server.host, self.server.port)), server_hostname="localhost") as line:
            self.assertEqual(line.selected_alpn_protocol(), "http/1.1")

    def test_what_is_not_tls_is_told_so(self):
        self.start()
        answer = self.server.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 400"), answer)
        self.assertIn(b"this port speaks TLS", answer)
        for noise in (b"\x16\x03\x01\xff\xff" + b"\xff" * 200, b"\0" * 1000, b"\x80" * 50, bytes(range(256)) * 40):
            self.server.raw(noise, 3)
        half = self.connect()
        half.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12")
        raw = half.detach()
        socket.socket(fileno=raw).close()
        with self.connect() as line:
            line.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertTrue(line.recv(1000).startswith(b"HTTP/1.1 200"))

    def test_a_client_that_leaves_cancels(self):
        self.start()
        body = json.dumps(CHAT | {"stream": True}).encode()
        for polite in (True, False):
            line = self.connect()
            line.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            line.recv(100)
            if polite:
                try:
                    line.unwrap()
                except (ssl.SSLError, OSError):
                    pass
            line.close()
        for _ in range(100):
            line = http.client.HTTPSConnection(self.server.host, self.server.port, context=self.context, timeout=60)
            line.request("GET", "/metrics")
            text = line.getresponse().read().decode()
            line.close()
            ended = [row for row in text.splitlines() if row.startswith("maestrale_requests_finished_total")]
            if sum(float(row.split()[-1]) for row in ended) == 2:
                break
            time.sleep(0.05)
        self.assertEqual(sum(float(row.split()[-1]) for row in ended), 2, ended)

    def test_bad_files_are_named(self):
        def refused(certificate, key, code, *words):
            self.check_failure(run("serve", "x.gguf", "--port", "0", "--tls-cert", certificate, "--tls-key", key), code, *words)

        other, other_key = self.folder / "other.pem", self.folder / "other.key"
        self.make(other, other_key)
        text = self.write("text.pem", b"no certificate")
        refused(self.folder / "none.pem", self.key, 1, "none.pem")
        refused(text, self.key, 1, "text.pem", "no certificate in it")
        refused(self.certificate, text, 1, "text.pem", "no private key in it")
        refused(self.certificate, other_key, 1, "the key belongs to another certificate")
        self.check_failure(run("serve", "x.gguf", "--tls-cert", self.certificate), 2, "--tls-key")


if __name__ == "__main__":
    unittest.main()
