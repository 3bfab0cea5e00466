"""A server on localhost that speaks OpenAI's completions and chat, answers from the prompt alone, and misbehaves.

Its answer to a prompt is always the same, so a client's replies can be checked. Every call and its fault is in `seen`.
"""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = (
    "429", "429 after", "429 date", "500", "503", "cut head", "cut body", "hang", "invalid json", "empty choices",
    "content type",
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """One call.

    Attributes:
        fault: what happened instead of an answer; empty for an answer.
    """

    path: str
    prompt: str
    body: dict[str, Any]
    headers: dict[str, str]
    fault: str
    at: float


@dataclass
class Behaviour:
    """What the server does. Replace parts of it at any time.

    Attributes:
        rate: fraction of the calls with a fault sampled from `faults`.
        plan: faults of the first calls, in order ("" for an answer), before any are sampled.
        hang: seconds that a hanging call hangs.
        after: what `Retry-After` says in "429 after".
        extra: gives the JSON for calls beside /v1 (/tokenize), None for the others, which get 404.
        refuse: gives (status, body, headers) for calls to refuse, None for others; before any fault.
        ignores_n: one choice, whatever `n` is.
        usage: whether answers count their tokens.
        finish: finish_reason of every choice.
        delay: seconds before each answer.
        models: status and body of the list of models.
    """

    rate: float = 0.0
    faults: tuple[str, ...] = FAULTS
    plan: list[str] = field(default_factory=list)
    hang: float = 2.0
    after: str = "0.05"
    refuse: Callable[[Seen], tuple[int, bytes, dict[str, str]] | None] = lambda seen: None
    extra: Callable[[str, dict[str, Any]], Any] = lambda path, body: None
    ignores_n: bool = False
    usage: bool = True
    finish: str | None = "stop"
    delay: float = 0.0
    reply: Callable[[str, int], str] = lambda prompt, seed: answer_to(prompt, seed)
    models: tuple[int, bytes] = (200, b'{"object": "list", "data": [{"id": "m", "object": "model"}]}')


def answer_to(prompt: str, seed: int = 0) -> str:
    """The text for a prompt: one of the classes it names, else a word, by its hash."""
    named = re.search(r"output is one of \[(.*?)\]", prompt)
    words = re.findall(r"'([^']+)'", named[1]) if named else ["lion", "vase", "ant", ""]
    digest = hashlib.sha256(f"{seed}|{prompt}".encode()).digest()
    return f" {words[digest[0] % len(words)]}".rstrip()


def tokens_of(text: str) -> list[str]:
    """The server's tokens: a word with the white space before it, and a last stretch of white space."""
    return re.findall(r"\s*[^\s]+|\s+$", text)


def nats_of(token: str) -> float:
    """The log-probability of a token, whatever comes before it."""
    return -(hashlib.sha256(token.encode()).digest()[0] + 1) / 64


class FaultServer:
    """Serves until `close`; the base URL is `url`."""

    def __init__(self, behaviour: Behaviour | None = None, *, seed: int = 0) -> None:
        self.behaviour = behaviour or Behaviour()
        self.seen: list[Seen] = []
        self.lists = 0
        """Times the list of models was asked for."""
        self.most_at_once = 0
        self._at_once = 0
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        server = self

        class Handler(_Handler):
            owner = server

        self._http = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def close(self) -> None:
        """Ends every call and frees the port."""
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def answered(self) -> list[Seen]:
        """The calls that got an answer."""
        return [one for one in self.seen if not one.fault]

    def wait(self, seconds: float) -> None:
        """Sleeps, but not longer than the server lives."""
        self._closing.wait(seconds)

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def decide(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Seen:
        """Records a call and decides on its fault."""
        prompt = body["messages"][0]["content"] if "messages" in body else body["prompt"]
        with self._lock:
            do = self.behaviour
            fault = ""
            if do.plan:
                fault = do.plan.pop(0)
            elif do.faults and self._rng.random() < do.rate:
                fault = self._rng.choice(do.faults)
            seen = Seen(
                path, prompt if isinstance(prompt, str) else json.dumps(prompt), body, headers, fault, time.time()
            )
            self.seen.append(seen)
        return seen


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    owner: FaultServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self.owner.lists += 1
        self.send(*self.owner.behaviour.models)

    def do_POST(self) -> None:
        with self.owner.counted():
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if not self.path.split("?")[0].endswith("completions"):
                found = self.owner.behaviour.extra(self.path, body)
                self.send(404 if found is None else 200, json.dumps(found).encode())
                return
            seen = self.owner.decide(self.path, body, {name.lower(): value for name, value in self.headers.items()})
            do = self.owner.behaviour
            if (refused := do.refuse(seen)) is not None:
                self.send(refused[0], refused[1], refused[2])
                return
            if do.delay:
                self.owner.wait(do.delay)
            content = json.dumps(self.answer(seen, do)).encode()
            if not seen.fault:
                self.send(200, content)
            else:
                self.misbehave(seen.fault, content, do)

    def answer(self, seen: Seen, do: Behaviour) -> dict[str, Any]:
        body = seen.body
        if body.get("echo"):
            tokens = tokens_of(seen.prompt)
            nats = [None, *(nats_of(token) for token in tokens[1:])]
            logprobs = {"tokens": [*tokens, " more"], "token_logprobs": [*nats, -9.0]}
            choices: list[dict[str, Any]] = [
                {"index": 0, "text": f"{seen.prompt} more", "finish_reason": "length", "logprobs": logprobs}
            ]
        else:
            seed, count = body.get("seed", 0), 1 if do.ignores_n else body.get("n", 1)
            texts = [do.reply(seen.prompt, seed + i) for i in range(count)]
            chat = "messages" in body
            choices = [
                {"index": i, "finish_reason": do.finish}
                | ({"message": {"role": "assistant", "content": text}} if chat else {"text": text})
                for i, text in enumerate(texts)
            ]
        reply: dict[str, Any] = {"id": "x", "object": "text_completion", "created": 1, "model": body["model"]}
        reply["choices"] = choices
        if do.usage:
            made = sum(len(tokens_of(one["text"] if "text" in one else one["message"]["content"])) for one in choices)
            reply["usage"] = {"prompt_tokens": len(tokens_of(seen.prompt)), "completion_tokens": made}
        return reply

    def misbehave(self, fault: str, content: bytes, do: Behaviour) -> None:
        if fault in ("429", "429 after", "429 date", "500", "503"):
            headers = {"Retry-After": do.after} if fault == "429 after" else {}
            if fault == "429 date":
                headers["Retry-After"] = email.utils.formatdate(time.time(), usegmt=True)
            self.send(int(fault[:3]), b'{"error": {"message": "not now", "type": "x", "code": null}}', headers)
        elif fault == "cut head":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
            self.cut()
        elif fault == "cut body":
            self.send(200, content[: len(content) // 2], {"Content-Length": str(len(content))})
            self.cut()
        elif fault == "hang":
            self.owner.wait(do.hang)
            self.cut()
        elif fault == "invalid json":
            self.send(200, content[:-1])
        elif fault == "empty choices":
            self.send(200, json.dumps(json.loads(content) | {"choices": []}).encode())
        elif fault == "content type":
            self.send(200, content, {"Content-Type": "text/html; charset=utf-8"})
        else:
            raise AssertionError(fault)

    def send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (
            {"Content-Type": "application/json", "Content-Length": str(len(content))} | (headers or {})
        ).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def cut(self) -> None:
        self.wfile.flush()
        self.close_connection = True
