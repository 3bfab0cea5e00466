"""Any server that speaks OpenAI's protocol: `--llm openai:MODEL --llm-args base_url=URL`.

Many requests are under way at once and each reply is yielded as it comes (`stream`). Retries are in `calls`,
concurrency in `rate_limit`, the budget in `budget`.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import weakref
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from llm_backends.errors import BackendError, BackendInputError, CallFailed, PromptTooLong
from llm_backends.openai.budget import BudgetTracker, Reservation
from llm_backends.openai.credentials import read_key
from llm_backends.openai.logprobs import Echo, echo_body, likelihoods, read_echo
from llm_backends.openai.options import ANTHROPIC_HOST, OPENAI_HOST, Api, ServerOptions, place_of
from llm_backends.openai.schema import choices_of, completion_body
from llm_backends.protocol import (
    Capabilities,
    Choice,
    Completion,
    CompletionRequest,
    Identity,
    LikelihoodRequest,
    Likelihoods,
    Reply,
    Request,
    StreamingBackend,
    check_allowed,
)
from llm_backends.text_tokenizer import PlainTokenizer
from llm_backends.usage import Usage

if TYPE_CHECKING:
    from llm_backends.openai.calls import Caller, Cancelled

BYTES_PER_TOKEN = 4
"""Of English, approximately; the estimate without the model's tokenizer."""
OPEN_PER_SLOT = 4
"""Requests begun per concurrent call, so that one that waits for a retry holds up no other."""

T = TypeVar("T")
Answers = queue.SimpleQueue[tuple[int, Reply | BackendError] | BaseException | None]


def open_openai(argument: str, *, dtype: str, device: str, options: ServerOptions) -> OpenAIBackend:
    """The backend of a server's model. Reads no key and opens no connection before the first request.

    Args:
        argument: the server's name of the model.
        dtype, device: ignored: the server decides.

    Raises:
        BackendInputError: the options exclude each other.
    """
    return OpenAIBackend(argument, options)


class BackgroundLoop:
    """An event loop in a daemon thread, so that calls go on while the program does other work."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="openai", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begins `work` on the loop; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancels all work, waits for it to end and stops the thread. A second call does nothing."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())


@dataclass
class _Connection:
    """What exists once the server is asked: a loop and a client, of one process."""

    process: int
    loop: BackgroundLoop
    caller: Caller

    def close(self) -> None:
        """Does nothing in a forked process: its thread is gone, and the connections are the parent's."""
        if self.process == os.getpid():
            self.loop.start(self.caller.close()).result()
            self.loop.close()


class OpenAIBackend(StreamingBackend):
    """A server's model.

    Args:
        model: the server's name of it.
        options: where the server is, and how to ask it.
    """

    def __init__(self, model: str, options: ServerOptions) -> None:
        self._model = model
        self._options = options
        self._api: Api = options.api_of(model)
        if options.echo_logprobs and self._api == "chat":
            raise BackendInputError("echo_logprobs is a feature of completions, got api chat: drop one")
        place = place_of(options.base_url)
        # OpenAI's chat wants the newer name; other servers may know the older one only.
        newer = self._api == "chat" and place.startswith(f"{OPENAI_HOST}/")
        self._limit_field = "max_completion_tokens" if newer else "max_tokens"
        self._blank_stops = not place.startswith(f"{ANTHROPIC_HOST}/")
        self._tracker = BudgetTracker(options.budget, options.price)
        self._connection: _Connection | None = None
        self._finalizer: weakref.finalize[[_Connection], OpenAIBackend] | None = None

    @property
    def identity(self) -> Identity:
        """The revision is the server's place and the endpoint: no server identifies its weights."""
        revision = f"{place_of(self._options.base_url)} {self._api}"
        return Identity(kind="openai", model=self._model, revision=revision, dtype="remote")

    @property
    def capabilities(self) -> Capabilities:
        """As the options declare them; the server is not probed."""
        return Capabilities(
            likelihood=self._options.echo_logprobs,
            samples=None,
            token_prompts=self._api == "completions",
            tokenizer=self._options.tokenizer is not None,
            context_length=None,
        )

    @property
    def usage(self) -> Usage:
        """Since this backend was opened."""
        return self._tracker.usage

    def count_tokens(self, text: str) -> int:
        """By the tokenizer named in the options; else an estimate from the text's bytes."""
        if self._tokenizer is None:
            return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)
        return len(self._tokenizer.encode(text))

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | BackendError]]:
        """(index, reply, or this request's PromptTooLong or CallFailed), in the order in which they end.

        When something ends the run, calls under way finish and are yielded before it is raised. Closing the iterator
        cancels them.

        Raises:
            BackendInputError: a request is beyond the declared capabilities.
            BackendUnavailable: no key, no server, or one that refuses every call.
            BudgetSpent: the next call might exceed the budget.
        """
        for request in requests:
            check_allowed(self.capabilities, self.identity, request)
        if not requests:
            return
        connection = self._connect()
        answers: Answers = queue.SimpleQueue()
        work = connection.loop.start(self._ask_all(requests, connection.caller, answers))
        try:
            while (answer := answers.get()) is not None:
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
        finally:
            work.cancel()

    def check_key(self) -> None:
        """Raises BackendUnavailable or BackendInputError if the key is missing or unusable."""
        read_key(self._options)

    def close(self) -> None:
        """Closes connections; a later request opens them again."""
        if self._finalizer is not None:
            self._finalizer()
        self._connection = self._finalizer = None

    def _connect(self) -> _Connection:
        if self._connection is None or self._connection.process != os.getpid():
            from llm_backends.openai.calls import Caller  # imports the client, which is slow

            key = read_key(self._options)
            caller = Caller(self._options, key, self._tracker)
            self._connection = _Connection(os.getpid(), BackgroundLoop(), caller)
            self._finalizer = weakref.finalize(self, _Connection.close, self._connection)
        return self._connection

    async def _ask_all(self, requests: Sequence[Request], caller: Caller, answers: Answers) -> None:
        from llm_backends.openai.calls import Cancelled

        cancelled = Cancelled()
        waiting = iter(enumerate(requests))

        async def work() -> None:
            for index, request in waiting:
                if cancelled.error is not None:
                    return
                try:
                    answers.put((index, await self._reply(request, caller, cancelled)))
                except (PromptTooLong, CallFailed) as error:
                    answers.put((index, error))
                except BackendError as error:
                    cancelled.stop(error)
                except asyncio.CancelledError:
                    if cancelled.error is None:
                        raise

        count = min(len(requests), OPEN_PER_SLOT * self._options.concurrency)
        workers = [asyncio.create_task(work()) for _ in range(count)]
        try:
            await asyncio.gather(*workers)
        except BaseException as error:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            answers.put(error)
            raise
        answers.put(cancelled.error)

    async def _reply(self, request: Request, caller: Caller, cancelled: Cancelled) -> Reply:
        if isinstance(request, LikelihoodRequest):
            return await self._score(request, caller, cancelled)
        _check_text(request.prompt)
        choices: list[Choice] = []
        # Servers that ignore `n` give one choice: the rest is asked for with the seeds that follow.
        while len(choices) < request.n:
            choices += await self._choices(request, len(choices), caller, cancelled)
        return Completion(choices=tuple(choices))

    async def _choices(
        self, request: CompletionRequest, had: int, caller: Caller, cancelled: Cancelled
    ) -> list[Choice]:
        from llm_backends.openai.calls import OtherLimit

        wanted, api = request.n - had, self._api
        reservation = Reservation.of(request.prompt, request.max_new_tokens * wanted)
        for _ in range(2):
            seed, limit = request.seed + had, self._limit_field
            body = completion_body(request, self._model, api, limit, wanted, seed, blank_stops=self._blank_stops)
            try:
                return await caller.call(
                    api,
                    body,
                    reservation,
                    lambda reply: choices_of(reply, request, api, wanted, caller.redactor),
                    cancelled,
                )
            except OtherLimit as other:
                self._limit_field = str(other)
        raise CallFailed(f"{caller.place} takes a reply's limit neither as max_tokens nor as max_completion_tokens")

    async def _score(self, request: LikelihoodRequest, caller: Caller, cancelled: Cancelled) -> Likelihoods:
        for continuation in request.continuations:
            if not continuation or not request.context:
                raise BackendInputError("a log-likelihood needs a context and a continuation, got an empty one")
            _check_text(request.context + continuation)
        echoes = await asyncio.gather(
            *(self._echo(request.context + one, caller, cancelled) for one in request.continuations),
            return_exceptions=True,
        )
        for echo in echoes:
            if isinstance(echo, BaseException):
                raise echo
        return likelihoods(request.context, [echo for echo in echoes if isinstance(echo, Echo)])

    async def _echo(self, text: str, caller: Caller, cancelled: Cancelled) -> Echo:
        body = echo_body(text, self._model)
        return await caller.call(
            "completions", body, Reservation.of(text, 1), lambda reply: read_echo(reply, text), cancelled
        )

    @cached_property
    def _tokenizer(self) -> PlainTokenizer | None:
        return None if self._options.tokenizer is None else PlainTokenizer.read(self._options.tokenizer)


def _check_text(prompt: str | tuple[int, ...]) -> None:
    """Raises CallFailed for text that UTF-8 cannot encode."""
    if isinstance(prompt, str):
        try:
            prompt.encode("utf-8")
        except UnicodeEncodeError as error:
            at = error.start
            reason = f"a prompt must be valid Unicode, character {at} is an unpaired surrogate ({prompt[at]!a})"
        else:
            return
        raise CallFailed(reason)
