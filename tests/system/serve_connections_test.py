#!/usr/bin/env python3
"""Many connections at once: what each costs while nothing happens, while its client reads nothing, and how soon one that vanishes is noticed. MAESTRALE_FULL=1: as many as a busy service has."""

import json
import os
import socket
import statistics
import time
import unittest

from program import SANITIZED, SystemTest
from server import Server

FULL = bool(os.environ.get("MAESTRALE_FULL"))
WAITING, STALLED, VANISHED = (5000, 1000, 400) if FULL else (500, 100, 40)
MIB = 1 << 20
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "temperature": 0, "ignore_eos": True, "stream": True}


class Connections(SystemTest):
    def setUp(self):
        super().setUp()
        self.server = Server(self.folder, "--queue", "6000", "--no-prefix-cache", sequences=4, context=2048)
        self.lines = []

    def tearDown(self):
        for line in self.lines:
            line.close()
        if self.server.process.poll() is None:
            self.server.process.kill()
            self.server.stop()
        super().tearDown()

    def ask(self, receive_buffer=0, **fields):
        """A connection whose request is sent."""
        body = json.dumps(CHAT | fields).encode()
        line = socket.socket()
        self.lines.append(line)
        if receive_buffer:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        line.settimeout(60)
        line.connect((self.server.host, self.server.port))
        line.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return line

    def settle(self):
        """The caches and the attention's pages are filled as they will stay."""
        lines = [self.ask() for _ in range(16)]
        for line in lines:
            self.read_all(line)

    @staticmethod
    def read_all(line):
        answer = b""
        while not answer.endswith(b"0\r\n\r\n"):
            piece = line.recv(1 << 16)
            if not piece:
                break
            answer += piece
        return answer

    def wait_for(self, condition, seconds=120):
        until = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), until, "waited in vain")
            time.sleep(0.02)

    def ended(self):
        return self.server.metric("maestrale_requests_finished_total")

    def test_streams_that_wait(self):
        self.settle()
        before = self.server.memory()
        blockers = [self.ask(max_tokens=2000, stream=False) for _ in range(40)]
        lines = [self.ask(max_tokens=2) for _ in range(WAITING)]
        self.wait_for(lambda: self.server.metric("maestrale_num_requests_waiting") > 0.5 * WAITING)
        for line in lines:
            self.assertTrue(line.recv(15).startswith(b"HTTP/1.1 200 OK"))
        grown = self.server.memory() - before
        waiting = self.server.metric("maestrale_num_requests_waiting")
        print(f"{len(lines)} streams that wait ({waiting:.0f} still do): {grown / MIB:.1f} MiB more, {grown / len(lines) / 1024:.1f} KiB each", flush=True)
        if not SANITIZED:
            self.assertLess(grown, 100e6 * max(WAITING / 5000, 0.2))
        for line in blockers:
            line.close()
        for line in lines:
            self.assertIn(b"[DONE]", self.read_all(line))

    def test_readers_that_stall(self):
        self.settle()
        before, ended = self.server.memory(), self.ended()
        most = 0
        for _ in range(STALLED):
            self.ask(receive_buffer=4096, max_tokens=300, logprobs=True, top_logprobs=20)

        def over():
            nonlocal most
            most = max(most, self.server.memory())
            return self.ended() - ended == STALLED
        other = time.monotonic()
        self.server.post("/tokenize", {"model": "tiny", "prompt": "hi"})
        other = time.monotonic() - other
        self.wait_for(over, 600)
        cut = self.server.metric("maestrale_http_slow_readers_cut_total")
        print(f"{STALLED} readers that stall ({cut:.0f} cut): {(most - before) / STALLED / 1024:.1f} KiB each at most; another request meanwhile: {other * 1000:.0f} ms", flush=True)
        if not SANITIZED:
            self.assertLess(most - before, (STALLED + 100) * (64 << 10))
        self.assertIn(b"[DONE]", self.read_all(self.ask(max_tokens=3)))

    def test_clients_that_vanish(self):
        times = []
        for _ in range(VANISHED):
            line = self.ask(max_tokens=2000)
            self.wait_for(lambda line=line: b"data: " in line.recv(1 << 16))
            ended = self.ended()
            start = time.monotonic()
            line.close()
            while self.ended() == ended:
                self.assertLess(time.monotonic() - start, 10)
            times.append((time.monotonic() - start) * 1000)
        times.sort()
        print(f"{VANISHED} clients that vanish are noticed in {statistics.median(times):.1f} ms (median), {times[int(0.99 * len(times))]:.1f} ms (p99)", flush=True)
        self.assertEqual(self.server.metric("maestrale_num_requests_running"), 0)


if __name__ == "__main__":
    unittest.main()
