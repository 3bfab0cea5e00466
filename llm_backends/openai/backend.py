"""Any server that speaks OpenAI's protocol: `--llm openai:MODEL --llm-args base_url=URL`.

Many requests are under way at once and each reply is yielded as it comes (`stream`). Retries are in `calls`,
concurrency in `rate_limit`, the budget in `budget`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from llm_backends.errors import BackendError, BackendInputError, CallFailed, PromptTooLong
from llm_backends.openai.background_loop import BackgroundLoop
from llm_backends.openai.budget import BudgetTracker, Reservation
from llm_backends.openai.credentials import read_key
from llm_backends.openai.echo_scores import probe, score
from llm_backends.openai.logprobs import echo_body
from llm_backends.openai.options import ANTHROPIC_HOST, OPENAI_HOST, Api, ServerOptions, place_of
from llm_backends.openai.schema import WireReply, choices_of, completion_body
from llm_backends.openai.server_tokenizer import ServerTokenizer
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

log = logging.getLogger(__name__)
BYTES_PER_TOKEN = 4
"""Of English, approximately; the estimate without the model's tokenizer."""
OPEN_PER_SLOT = 4
"""Requests begun per concurrent call, so that one that waits for a retry holds up no other."""

FIRST_OPEN = 4
"""Requests begun before a server has answered one: if it answers none, few are paid for."""
VARIANTS = 4
"""Forms of one request: servers differ in the name of the limit, and in what they refuse."""
LEFT_OUT = {
    "temperature": "temperature 0 was left out, which the server refuses: its own default decides",
    "stop": "stop strings were left out, which the server refuses: the reply was cut here",
}
UNLISTED = "the server does not list the model and answered all the same"

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
        self._left_out: set[str] = set()
        self._context: int | None = None
        self._unlisted = self._looked_up = self._probed = False
        self._tracker = BudgetTracker(options.budget, options.price)
        self._connection: _Connection | None = None
        self._finalizer: weakref.finalize[[_Connection], OpenAIBackend] | None = None

    @property
    def identity(self) -> Identity:
        """The revision is the server's place, the endpoint and `body.` and `header.` options, if there are any.

        No server identifies its weights.
        """
        revision = " ".join(filter(None, (place_of(self._options.base_url), self._api, self._options.further)))
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
        if self.text_tokenizer is None:
            return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)
        return len(self.text_tokenizer.encode(text))

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
        going = asyncio.Event()
        if caller.contact.is_set():
            going.set()
        waiting = iter(enumerate(requests))

        async def work(place: int) -> None:
            if place >= FIRST_OPEN:
                await going.wait()
            for index, request in waiting:
                if cancelled.error is not None:
                    break
                try:
                    self._check_length(request)
                    answers.put((index, await self._reply(request, caller, cancelled)))
                except (PromptTooLong, CallFailed) as error:
                    answers.put((index, error))
                except BackendError as error:
                    cancelled.stop(error)
                except asyncio.CancelledError:
                    if cancelled.error is None:
                        raise
                if caller.contact.is_set():
                    going.set()
            going.set()  # nothing is left to begin

        count = min(len(requests), OPEN_PER_SLOT * self._options.concurrency)
        workers: list[asyncio.Task[None]] = []
        try:
            await self._look_up(caller)
            workers += [asyncio.create_task(work(place)) for place in range(count)]
            await asyncio.gather(*workers)
        except BaseException as error:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            answers.put(error)
            raise
        answers.put(cancelled.error)

    async def _look_up(self, caller: Caller) -> None:
        """Asks once which models the server has, and what context length it states."""
        if self._looked_up:
            return
        self._looked_up = True
        listed = await caller.models()
        if listed is None:
            return
        self._context = listed.contexts.get(self._model)
        if missing := listed.missing(self._model):
            self._unlisted = True
            caller.hint = caller.redactor.clean(missing)
            log.warning("%s does not list the model %r: %s", caller.place, self._model, caller.hint)

    def _check_length(self, request: Request) -> None:
        """Raises PromptTooLong for a prompt over the context length that the server states, if it can be counted."""
        if self._context is None or self.text_tokenizer is None:
            return
        if isinstance(request, LikelihoodRequest):
            longest = max(self.count_tokens(request.context + one) for one in request.continuations)
        else:
            known = self.count_tokens(request.prompt) if isinstance(request.prompt, str) else len(request.prompt)
            longest = known + request.max_new_tokens
        if longest > self._context:
            raise PromptTooLong(
                f"prompt and reply are {longest} tokens, the server states that {self._model} takes {self._context}: "
                "use fewer shots or layers"
            )

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
        wanted, api, seed = request.n - had, self._api, request.seed + had

        def body() -> dict[str, Any]:
            limit = self._limit_field
            return completion_body(request, self._model, api, limit, wanted, seed, blank_stops=self._blank_stops)

        return await self._ask(
            api,
            body,
            Reservation.of(request.prompt, request.max_new_tokens * wanted, self._exact_count),
            lambda reply: choices_of(reply, request, api, wanted, caller.redactor, self._tracker.note),
            caller,
            cancelled,
        )

    async def _ask(
        self,
        api: Api,
        body: Callable[[], dict[str, Any]],
        reservation: Reservation,
        read: Callable[[WireReply], T],
        caller: Caller,
        cancelled: Cancelled,
    ) -> T:
        """The answer to a request in a form that the server takes, which is learnt from what it refuses."""
        from llm_backends.openai.calls import FieldRefused, OtherLimit

        dropped: set[str] = set()

        def accepted() -> dict[str, Any]:
            whole = body()
            dropped.clear()
            dropped.update(name for name, value in whole.items() if self._leaves_out(name, value))
            return {name: value for name, value in whole.items() if name not in dropped}

        for _ in range(VARIANTS):
            try:
                answer = await caller.call(api, accepted, reservation, read, cancelled)
            except OtherLimit as other:
                self._limit_field = str(other)
            except FieldRefused as refused:
                if str(refused) not in self._left_out:
                    log.warning("%s: %s", caller.place, LEFT_OUT[str(refused)])
                self._left_out.add(str(refused))
            else:
                for name in dropped:
                    self._tracker.note(LEFT_OUT[name])
                if self._unlisted:
                    self._tracker.note(UNLISTED)
                return answer
        raise CallFailed(
            f"{caller.place} takes a reply's limit neither as max_tokens nor as max_completion_tokens", lasting=True
        )

    def _leaves_out(self, name: str, value: object) -> bool:
        return name in self._left_out and (name != "temperature" or value == 0)

    async def _score(self, request: LikelihoodRequest, caller: Caller, cancelled: Cancelled) -> Likelihoods:
        for continuation in request.continuations:
            if not continuation or not request.context:
                raise BackendInputError("a log-likelihood needs a context and a continuation, got an empty one")
            _check_text(request.context + continuation)

        async def echo(text: str, read: Callable[[WireReply, str], T]) -> T:
            body = partial(echo_body, text, self._model)
            reservation = Reservation.of(text, 1, self._exact_count)
            return await self._ask("completions", body, reservation, lambda reply: read(reply, text), caller, cancelled)

        async with caller.probing:
            if not self._probed:
                await probe(caller.place, echo, greedy=lambda: "temperature" not in self._left_out)
                self._probed = True
        return await score(request, echo)

    @cached_property
    def text_tokenizer(self) -> PlainTokenizer | None:
        """The model's own, from the folder named in the options; None if none is named."""
        return None if self._options.tokenizer is None else PlainTokenizer.read(self._options.tokenizer)

    @property
    def server_tokenizer(self) -> ServerTokenizer:
        """The server's own text tokenizer; asking it is a call for each text."""

        def post(path: str, body: Mapping[str, Any]) -> Any:
            connection = self._connect()
            return connection.loop.start(connection.caller.post_beside(path, body)).result()

        return ServerTokenizer(post, place_of(self._options.base_url), self._model)

    @property
    def _exact_count(self) -> Callable[[str], int] | None:
        return None if self.text_tokenizer is None else self.count_tokens


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
