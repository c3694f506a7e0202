#!/usr/bin/env python3
"""An answer does not depend on what else goes on: requests at random times, among others that are cancelled, with a
cache that is too small for all, equal the same requests alone to the byte; and one hash over concurrency, threads,
chunks and caches. MAESTRALE_FULL=1 takes 1,000 requests and every combination, and prints what it found."""

import hashlib
import http.client
import json
import os
import random
import socket
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from program import SANITIZED, SystemTest
from server import Server

FULL = bool(os.environ.get("MAESTRALE_FULL"))
REQUESTS = 1000 if FULL else 20 if SANITIZED else 100
CONTEXT = 1024
CHAT = "/v1/chat/completions"


def requests(count, seed):
    """Chats of every kind; several share beginnings, so that the cache of prefixes has something to do."""
    source = random.Random(seed)
    words = ["the", "he", "sea", "of", "a", "moon", "bird", "and", "x1", "red"]
    shared = [" ".join(source.choice(words) for _ in range(source.randrange(20, 120))) for _ in range(6)]
    for _ in range(count):
        text = source.choice(shared) if source.random() < 0.7 else ""
        text += " " + " ".join(source.choice(words) for _ in range(source.randrange(1, 30)))
        body = {"model": "tiny", "messages": [{"role": "user", "content": text}], "max_tokens": source.randrange(1, 40),
                "temperature": source.choice([0, 0.7, 1.3]), "seed": source.randrange(1 << 30), "ignore_eos": source.random() < 0.8}
        more = source.randrange(6)
        if more == 0:
            body |= {"logprobs": True, "top_logprobs": 3}
        elif more == 1:
            body |= {"n": 2}
        elif more == 2:
            body |= {"response_format": {"type": "json_object"}, "ignore_eos": False}
        elif more == 3:
            body |= {"repetition_penalty": 1.2, "presence_penalty": 0.5, "top_p": 0.9}
        elif more == 4:
            body |= {"stream": True}
        yield body


def answer_of(server, body):
    """What is said, as bytes: a stream's text and end, or the choices."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=300)
    connection.request("POST", CHAT, json.dumps(body))
    response = connection.getresponse()
    data = response.read()
    connection.close()
    if response.status != 200:
        raise AssertionError(f"{response.status}: {data[:300]}")
    if not body.get("stream"):
        return json.dumps(json.loads(data)["choices"]).encode()
    events = [json.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: {")]
    choices = [choice for event in events for choice in event["choices"]]
    text = "".join(choice["delta"].get("content", "") for choice in choices)
    return json.dumps([text, choices[-1]["finish_reason"]]).encode()


def ask_and_leave(server, body, seconds):
    data = json.dumps(body | {"stream": True, "max_tokens": 400, "ignore_eos": True}).encode()
    with socket.create_connection((server.host, server.port), timeout=60) as line:
        line.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (CHAT.encode(), len(data)) + data)
        time.sleep(seconds)


class Invariance(SystemTest):
    def serve(self, *options, **more):
        server = Server(self.folder, *options, context=CONTEXT, **more)
        self.addCleanup(lambda: server.process.poll() is None and server.stop())
        return server

    def test_random_times_cancellations_and_evictions(self):
        bodies = list(requests(REQUESTS, 1))
        alone = self.serve("--no-prefix-cache", sequences=1)
        expected = [answer_of(alone, body) for body in bodies]
        alone.stop()
        server = self.serve("--kv-tokens", "2048", "--chunk", "96", "--queue", "4096", threads=2, sequences=8)
        source = random.Random(2)
        waits = [source.expovariate(1 / 0.03) for _ in bodies]
        leaving = [(body, source.random() * 0.05) for body in bodies if source.random() < 0.3]

        def later(index):
            time.sleep(waits[index])
            return answer_of(server, bodies[index])

        def leave():
            for body, seconds in leaving:
                ask_and_leave(server, body, seconds)

        cancelling = threading.Thread(target=leave)
        start = time.monotonic()
        cancelling.start()
        with ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(later, range(len(bodies))))
        cancelling.join()
        different = [index for index, answer in enumerate(answers) if answer != expected[index]]
        self.assertEqual(different, [], f"{bodies[different[0]] if different else ''}")
        for _ in range(200):
            if server.metric("maestrale_num_requests_running") == 0:
                break
            time.sleep(0.05)
        self.assertEqual(server.metric("maestrale_num_requests_running"), 0)
        print(f"invariance: {len(bodies)} requests among {len(leaving)} cancelled ones equal the same requests alone "
              f"({time.monotonic() - start:.1f} s)")
        self.assertEqual(server.stop(), 0)

    def test_one_hash(self):
        bodies = list(requests(64 if FULL else 16, 3))
        hashes, runs = {}, 0
        every = [(threads, chunk, cache) for threads in (1, 2, 3, 4) for chunk in (64, 200, 512, 2048) for cache in (True, False)]
        for threads, chunk, cache in every if FULL else [(1, 2048, False), (2, 64, True)]:
            server = self.serve("--chunk", str(chunk), *([] if cache else ["--no-prefix-cache"]), threads=threads, sequences=32)
            for concurrency in (1, 4, 32) if FULL else (32, 1):  # from the second on the cache is warm
                with ThreadPoolExecutor(concurrency) as pool:
                    said = b"\n".join(pool.map(lambda body, server=server: answer_of(server, body), bodies))
                hashes.setdefault(hashlib.sha256(said).hexdigest(), []).append((threads, chunk, cache, concurrency))
                runs += 1
            server.stop()
        self.assertEqual(len(hashes), 1, hashes)
        print(f"invariance: {runs} runs of {len(bodies)} requests, one hash {next(iter(hashes))[:16]}")


if __name__ == "__main__":
    unittest.main()
