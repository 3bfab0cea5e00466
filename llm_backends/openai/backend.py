"""Any server that speaks OpenAI's protocol: `--llm openai:MODEL --base-url URL`.

Many questions are asked at once and each answer is handed over as it comes (`stream`). What is tried again and what is
not stands in `llm_backends.openai.calls`; how fast, in `openai_pace`; what may be spent, in `openai_ledger`.
"""

from __future__ import annotations

import asyncio
import os
import queue
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from llm_backends.capabilities import check_allowed
from llm_backends.errors import BackendError, BackendInputError, CallFailed, PromptTooLong
from llm_backends.local.text_tokenizer import PlainTokenizer
from llm_backends.openai.background_loop import BackgroundLoop
from llm_backends.openai.budget import Ledger, hold_for
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
)
from llm_backends.usage import Usage

if TYPE_CHECKING:
    from llm_backends.openai.calls import Caller, Halt

BYTES_A_TOKEN = 4
"""Of English, about; the estimate where the model's tokenizer is not at hand."""
WAITING = 4
"""Requests begun for each call that may be under way, so that one that waits for its next attempt holds up no other."""


def open_openai(argument: str, dtype: str, server: ServerOptions) -> OpenAIBackend:
    """The backend of a server's model. No key is read and no connection opened before the first question.

    Args:
        argument: the server's name of the model.
        dtype: changes nothing: the server decides on its arithmetic.
        server: where it is, and how it may be asked.

    Raises:
        BackendInputError: the options do not go together.
    """
    return OpenAIBackend(argument, server)


@dataclass
class _Open:
    """What exists while the server may be asked."""

    process: int
    loop: BackgroundLoop
    caller: Caller


class OpenAIBackend:
    """A server's model.

    Args:
        model: the server's name of it.
        options: where it is, and how it may be asked.
    """

    def __init__(self, model: str, options: ServerOptions) -> None:
        self._model = model
        self._options = options
        self._api = options.api_of(model)
        if options.echo_logprobs and self._api == "chat":
            raise BackendInputError("--echo-logprobs is a feature of completions, got --api chat: drop one")
        self._limit = _limit_name(options, self._api)
        self._ledger = Ledger(options.budget, options.price)
        self._open: _Open | None = None
        self._finalizer: weakref.finalize[[_Open], OpenAIBackend] | None = None

    @property
    def identity(self) -> Identity:
        """The revision is the server's place and which of its two ways is asked; no server says more of its model."""
        revision = f"{place_of(self._options.base_url)} {self._api}"
        return Identity(kind="openai", model=self._model, revision=revision, dtype="remote")

    @property
    def capabilities(self) -> Capabilities:
        """As the options declare them; nothing is tried out."""
        return Capabilities(
            likelihood=self._options.echo_logprobs,
            samples=None,
            token_prompts=self._api == "completions",
            tokenizer=self._options.tokenizer is not None,
            context_length=self._options.context_length,
        )

    @property
    def usage(self) -> Usage:
        """Since this backend was made."""
        return self._ledger.usage

    def count_tokens(self, text: str) -> int:
        """By the tokenizer named in the options; else an estimate from the text's bytes."""
        if self._tokenizer is None:
            return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_A_TOKEN)
        return len(self._tokenizer.encode(text))

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """One reply per request, in order; raises the first error by order, once all are there. Raises as `stream`."""
        replies = self._collect(requests)
        return [reply for reply in replies if isinstance(reply, Completion)]

    def loglikelihood(self, requests: Sequence[LikelihoodRequest]) -> list[Likelihoods]:
        """As `complete`, of a server whose completions echo log-probabilities."""
        replies = self._collect(requests)
        return [reply for reply in replies if isinstance(reply, Likelihoods)]

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | BackendError]]:
        """Each request's index with its reply, or with the PromptTooLong or CallFailed that kept it from one.

        Where something ends the run, calls under way still finish and are handed over before it is raised. A caller
        that stops listening cancels them.

        Raises:
            BackendInputError: a request is one that this server is not said to answer.
            BackendUnavailable: no key, no server, or one that refuses every call.
            BudgetSpent: the next call might exceed the budget.
        """
        for request in requests:
            check_allowed(self.capabilities, self.identity, request)
        if not requests:
            return
        opened = self._opened()
        answers: queue.SimpleQueue[tuple[int, Reply | BackendError] | BaseException | None] = queue.SimpleQueue()
        work = opened.loop.start(self._ask_all(requests, opened.caller, answers))
        try:
            while (answer := answers.get()) is not None:
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
        finally:
            work.cancel()

    def close(self) -> None:
        """Closes connections; a later question opens them again."""
        if self._finalizer is not None:
            self._finalizer()
        self._open = self._finalizer = None

    def _collect(self, requests: Sequence[Request]) -> list[Reply]:
        found = dict(self.stream(requests))
        replies: list[Reply] = []
        for index in range(len(requests)):
            reply = found[index]
            if isinstance(reply, BackendError):
                raise reply
            replies.append(reply)
        return replies

    def _opened(self) -> _Open:
        if self._open is not None and self._open.process == os.getpid():
            return self._open
        from llm_backends.openai.calls import Caller  # imports the client, which takes its time

        key = read_key(self._options)
        self._open = _Open(os.getpid(), BackgroundLoop("openai"), Caller(self._options, key, self._ledger))
        self._finalizer = weakref.finalize(self, _close, self._open)
        return self._open

    async def _ask_all(
        self,
        requests: Sequence[Request],
        caller: Caller,
        answers: queue.SimpleQueue[tuple[int, Reply | BackendError] | BaseException | None],
    ) -> None:
        from llm_backends.openai.calls import Halt

        halt = Halt()
        waiting = iter(enumerate(requests))

        async def work() -> None:
            for index, request in waiting:
                if halt.error is not None:
                    return
                try:
                    answers.put((index, await self._reply(request, caller, halt)))
                except (PromptTooLong, CallFailed) as error:
                    answers.put((index, error))
                except BackendError as error:
                    halt.stop(error)
                except asyncio.CancelledError:
                    if halt.error is None:
                        raise

        workers = [asyncio.create_task(work()) for _ in range(min(len(requests), WAITING * self._options.concurrency))]
        try:
            await asyncio.gather(*workers)
        except BaseException as error:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            answers.put(error)
            raise
        answers.put(halt.error)

    async def _reply(self, request: Request, caller: Caller, halt: Halt) -> Reply:
        if isinstance(request, LikelihoodRequest):
            return await self._score(request, caller, halt)
        _check_text(request.prompt)
        self._check_fits(request.prompt, request.max_new_tokens)
        choices: list[Choice] = []
        # Servers that know no `n` give one choice: the rest is asked for again, with the seeds that follow.
        while len(choices) < request.n:
            choices += await self._choices(request, len(choices), caller, halt)
        return Completion(choices=tuple(choices))

    async def _choices(self, request: CompletionRequest, had: int, caller: Caller, halt: Halt) -> list[Choice]:
        from llm_backends.openai.calls import OtherLimit

        wanted = request.n - had
        hold = hold_for(request.prompt, request.max_new_tokens * wanted)
        for _ in range(2):
            body = completion_body(
                request,
                self._model,
                self._api,
                self._limit,
                wanted,
                request.seed + had,
                blank_stops=not place_of(self._options.base_url).startswith(f"{ANTHROPIC_HOST}/"),
            )
            try:
                return await caller.call(
                    self._api,
                    body,
                    hold,
                    lambda reply: choices_of(reply, request, self._api, wanted, caller.scrubber),
                    halt,
                )
            except OtherLimit as other:
                self._limit = str(other)
        raise CallFailed(f"{caller.place} takes a reply's bound neither as max_tokens nor as max_completion_tokens")

    async def _score(self, request: LikelihoodRequest, caller: Caller, halt: Halt) -> Likelihoods:
        for continuation in request.continuations:
            if not continuation or not request.context:
                raise BackendInputError("a log-likelihood needs a context and a continuation, got an empty one")
            _check_text(request.context + continuation)
            self._check_fits(request.context + continuation, 0)
        echoes = await asyncio.gather(
            *(self._echo(request.context + one, caller, halt) for one in request.continuations), return_exceptions=True
        )
        for echo in echoes:
            if isinstance(echo, BaseException):
                raise echo
        return likelihoods(request.context, [echo for echo in echoes if isinstance(echo, Echo)])

    async def _echo(self, text: str, caller: Caller, halt: Halt) -> Echo:
        return await caller.call(
            "completions", echo_body(text, self._model), hold_for(text, 1), lambda reply: read_echo(reply, text), halt
        )

    def _check_fits(self, prompt: str | tuple[int, ...], new_tokens: int) -> None:
        limit = self._options.context_length
        if limit is None:
            return
        own = self.count_tokens(prompt) if isinstance(prompt, str) else len(prompt)
        if own + new_tokens > limit:
            about = "" if self._tokenizer is not None or not isinstance(prompt, str) else "about "
            raise PromptTooLong(
                f"prompt and reply are {about}{own + new_tokens} tokens, {self._model} takes {limit} "
                "(--context-length): use fewer shots or layers"
            )

    @cached_property
    def _tokenizer(self) -> PlainTokenizer | None:
        return None if self._options.tokenizer is None else PlainTokenizer.read(self._options.tokenizer)


def _check_text(prompt: str | tuple[int, ...]) -> None:
    """Raises CallFailed for what cannot be sent."""
    if isinstance(prompt, str):
        try:
            prompt.encode("utf-8")
        except UnicodeEncodeError as error:
            at = error.start
            reason = f"a prompt must be text that UTF-8 can spell, character {at} is half of a pair ({prompt[at]!a})"
        else:
            return
        raise CallFailed(reason)


def _limit_name(options: ServerOptions, api: Api) -> str:
    """OpenAI's chat wants the newer name, and other servers may know the older one only."""
    newer = api == "chat" and place_of(options.base_url).startswith(f"{OPENAI_HOST}/")
    return "max_completion_tokens" if newer else "max_tokens"


def _close(opened: _Open) -> None:
    """Where the process was forked, its thread is gone and its connections are the parent's."""
    if opened.process == os.getpid():
        opened.loop.start(opened.caller.close()).result()
        opened.loop.close()
