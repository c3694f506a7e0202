"""A running server for the system tests: a tiny model that is written on the spot, and requests to it."""

import http.client
import json
import re
import signal
import socket
import subprocess
from pathlib import Path

from program import PROGRAM, SANITIZED, SystemTest
from tiny_models import U32, gguf, keys

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


class Server:
    """`{model}` in an option stands for the path of the tiny model, whose context has so many tokens; `content`: a
    GGUF file of another."""

    def __init__(self, folder, *options, threads=1, sequences=4, context=128, content=None, template=TEMPLATE):
        model, template_file = folder / "tiny.gguf", folder / "template.jinja"
        written = folder / "tiny.gguf.new"  # another server may have the old one: it is not written over
        written.write_bytes(content or gguf(keys() | {"llama.context_length": (U32, context)}))
        written.replace(model)
        template_file.write_text(template, encoding="utf-8")
        self.process = subprocess.Popen(
            [PROGRAM, "serve", str(model), "--template", str(template_file), "--port", "0", "--threads", str(threads),
             "--sequences", str(sequences), "--quiet", *(option.replace("{model}", str(model)) for option in options)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        line = self.process.stderr.readline()
        found = re.search(r"on https?://([\d.]+):(\d+)", line)
        if not found:
            raise AssertionError("the server did not start: " + line + self.process.stderr.read())
        self.host, self.port = found.group(1), int(found.group(2))
        self.connection = None

    def request(self, method, path, body=None, headers=None):
        """(status, headers, body)"""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        self.connection.request(method, path, body, headers or {})
        response = self.connection.getresponse()
        data = response.read()
        if response.will_close:
            self.connection.close()
            self.connection = None
        return response.status, response.headers, data

    def post(self, path, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, _, answer = self.request("POST", path, data)
        return status, answer

    def raw(self, data, seconds=5):
        """What comes back for these bytes, until the server closes the connection."""
        with socket.create_connection((self.host, self.port), timeout=seconds) as line:
            line.sendall(data)
            answer = b""
            try:
                while piece := line.recv(65536):
                    answer += piece
            except (TimeoutError, ConnectionResetError):
                pass
            return answer

    def memory(self):
        """Bytes that it holds now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
        return 0

    def metric(self, name):
        """All labels together."""
        _, _, text = self.request("GET", "/metrics")
        return sum(float(line.split()[-1]) for line in text.decode().splitlines() if line.startswith(name))

    def stop(self, how=signal.SIGTERM, seconds=60):
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        self.process.send_signal(how)
        code = self.process.wait(seconds)
        self.process.stderr.close()
        return code


class ServerTest(SystemTest):
    options = ()

    def setUp(self):
        super().setUp()
        self.server = Server(self.folder, *self.options)

    def tearDown(self):
        if self.server.process.poll() is None:
            self.server.stop(signal.SIGKILL)
        super().tearDown()


__all__ = ["SANITIZED", "Server", "ServerTest"]
