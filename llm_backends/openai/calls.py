"""One call to a server, made again where that may help: what is tried again, what is not, and what ends the run.

429, 5xx              again, after the time the server names or a doubling one; 429 also means fewer calls at once
timeout               again, and fewer calls at once
cut line              again
no usable answer      again: invalid JSON, another content type, no choices, an answer that was broken off
401                   ends the run: the key is wrong for every call
403, 404, 405         end the run where the server has never answered: the key, URL or model is wrong; else as below
a redirect            ends the run: it would take the prompts to a server that nobody named
other 4xx             this request has failed; a prompt over the context length is told apart
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar

import openai
from pydantic import SecretStr

from llm_backends.errors import BackendError, BackendInputError, BackendUnavailable, CallFailed, PromptTooLong
from llm_backends.openai.budget import Hold, Ledger
from llm_backends.openai.credentials import Redactor
from llm_backends.openai.errors import Refusal, read_refusal
from llm_backends.openai.options import ServerOptions, place_of
from llm_backends.openai.rate_limit import Pace, backoff, retry_after
from llm_backends.openai.schema import ErrorInside, Unusable, WireReply, read_reply

SOON = 3
"""Attempts before a server that never answered, and cannot be reached, is said to be missing."""
UNREACHABLE_IN_A_ROW = 8
"""Requests that found no server at all, all attempts of each, before a server that did answer counts as gone."""

Endpoint = Literal["completions", "chat"]
T = TypeVar("T")


class Halt:
    """Ends what has not begun, once something has ended the run; calls under way are left to finish.

    Attributes:
        error: why nothing more is asked; None while all is well.
    """

    def __init__(self) -> None:
        self.error: BackendError | None = None
        self._idle: set[asyncio.Task[Any]] = set()

    @contextlib.contextmanager
    def idle(self) -> Iterator[None]:
        """The block waits for something and may be cancelled by `stop`."""
        task = asyncio.current_task()
        assert task is not None
        if self.error is not None:
            raise self.error
        self._idle.add(task)
        try:
            yield
        finally:
            self._idle.discard(task)

    def stop(self, error: BackendError) -> None:
        """The first error stands."""
        if self.error is None:
            self.error = error
            for task in self._idle:
                task.cancel()


class Again(Exception):
    """A call that failed and may be made again.

    Attributes:
        fault: its kind, in a word or two.
        charged: the server may have done the work.
        unreachable: there was no server to do any.
    """

    def __init__(self, fault: str, reason: str, *, charged: bool = False, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.fault = fault
        self.charged = charged
        self.unreachable = unreachable
        self.wait: float | None = None
        self.throttled = False


class Caller:
    """Makes calls within the bounds of one `ServerOptions`. To be used on one event loop.

    Args:
        options: where and how.
        key: None sends none.
        ledger: books every call.
    """

    def __init__(self, options: ServerOptions, key: SecretStr | None, ledger: Ledger) -> None:
        self._options = options
        self._place = place_of(options.base_url)
        self._ledger = ledger
        self._pace = Pace(options.concurrency)
        self._answered = False
        self._unreachable = 0
        secrets = [key.get_secret_value()] if key is not None else []
        # The client sends these too where they are set, and reads them by itself.
        secrets += [os.environ.get("OPENAI_ADMIN_KEY", "")]
        for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines():
            value = line.partition(":")[2].strip()
            secrets += [value, value.rpartition(" ")[2]]
        self.scrubber = Redactor(secrets)
        self._without_authorization = key is None or options.on_azure_deployment
        self._client = _client(options, key)

    @property
    def place(self) -> str:
        """Host, port and path, for messages."""
        return self._place

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def call(
        self, endpoint: Endpoint, body: Mapping[str, Any], hold: Hold, read: Callable[[WireReply], T], halt: Halt
    ) -> T:
        """The answer to one request body, as `read` reads it.

        Args:
            endpoint: which of the two.
            body: the fields to send.
            hold: the most that one such call can use.
            read: makes the result of an answer; may raise `Unusable` or a BackendError.
            halt: set when something ends the run; no call is begun any more then.

        Raises:
            CallFailed: no usable answer after all attempts, or a refusal that another attempt would not change.
            PromptTooLong: the server says that the prompt does not fit.
            OtherLimit: the server wants the bound of the reply under its other name.
            BackendUnavailable, BackendInputError, BudgetSpent: nothing more can be asked.
        """
        seed = str(sorted(body.items()))
        for attempt in range(1, self._options.attempts + 1):
            try:
                return await self._attempt(endpoint, body, hold, read, halt)
            except Again as fault:
                last = fault
            if attempt == self._options.attempts or (last.unreachable and not self._answered and attempt >= SOON):
                break
            with halt.idle():
                await asyncio.sleep(max(backoff(attempt, seed), last.wait or 0.0))
        reason = f"{self._place} gave no answer in {attempt} attempts: {last}"
        if not last.unreachable:
            raise CallFailed(reason)
        self._unreachable += 1
        if not self._answered or self._unreachable >= UNREACHABLE_IN_A_ROW:
            raise BackendUnavailable(f"{reason}; is the server running, and is --base-url right?")
        raise CallFailed(reason)

    async def _attempt(
        self, endpoint: Endpoint, body: Mapping[str, Any], hold: Hold, read: Callable[[WireReply], T], halt: Halt
    ) -> T:
        """One call, in a slot and within the budget."""
        with halt.idle():
            await self._pace.acquire()
            try:
                await self._ledger.reserve(hold)
            except BaseException:
                self._pace.release()
                raise
        try:
            return await self._booked(endpoint, body, hold, read)
        finally:
            self._pace.release()

    async def _booked(
        self, endpoint: Endpoint, body: Mapping[str, Any], hold: Hold, read: Callable[[WireReply], T]
    ) -> T:
        """One call. Whatever becomes of it, it is booked, once."""
        sent_at = self._pace.now()
        used: tuple[int, int] | None = None
        try:
            reply = await self._send(endpoint, body)
            used = reply.used
            result = read(reply)
        except Again as fault:
            self._ledger.fail(hold, fault.fault, charged=fault.charged)
            if fault.throttled:
                self._pace.refused(sent_at, fault.wait)
            raise
        except Unusable as fault:
            self._ledger.fail(hold, fault.fault, charged=True, used=used)
            # Raised outside of the handler, as all errors here: what was caught may hold the server's words.
            again = Again(fault.fault, self.scrubber.clean(str(fault)))
        except BackendError as fault:
            self._ledger.fail(hold, type(fault).__name__, charged=used is not None, used=used)
            raise
        except BaseException:
            self._ledger.fail(hold, "given up", charged=True)
            raise
        else:
            self._ledger.settle(hold, used)
            self._pace.answered()
            self._answered, self._unreachable = True, 0
            return result
        raise again

    async def _send(self, endpoint: Endpoint, body: Mapping[str, Any]) -> WireReply:
        failure: BackendError | Again
        try:
            async with asyncio.timeout(self._options.timeout):
                kind, content = await self._post(endpoint, body)
            return read_reply(kind, content)
        except ErrorInside as inside:
            failure = self._refused(Refusal(inside.status or 502, str(inside), "", {}))
        except openai.APIStatusError as error:
            failure = self._refused(read_refusal(error))
        except (TimeoutError, openai.APITimeoutError):
            failure = Again("timeout", f"no answer within {self._options.timeout:g} s (--timeout)", charged=True)
            failure.throttled = True  # a server with more calls than it can do answers none of them in time
        except openai.APIConnectionError as error:
            failure = self._cut(error.__cause__ or error)
        raise failure

    async def _post(self, endpoint: Endpoint, body: Mapping[str, Any]) -> tuple[str | None, bytes]:
        """Content type and bytes of an answer with status 2xx."""
        api = self._client.completions if endpoint == "completions" else self._client.chat.completions
        # Left out with each call: the client takes a header left out by default for one forgotten.
        left_out = {"Authorization": openai.Omit()} if self._without_authorization else None
        response = await api.with_raw_response.create(**body, extra_headers=left_out)
        return response.headers.get("content-type"), response.content

    def _cut(self, error: BaseException) -> Again:
        words = self.scrubber.clean(str(error))
        unreachable = type(error).__name__ == "ConnectError"  # of the client's own HTTP library
        what = "no connection" if unreachable else "the connection was cut"
        kind = "unreachable" if unreachable else "connection"
        reason = f"{what} ({type(error).__name__}{': ' if words else ''}{words})"
        return Again(kind, reason, charged=not unreachable, unreachable=unreachable)

    def _refused(self, refusal: Refusal) -> BackendError | Again:
        """What follows from a status that is no success."""
        status = refusal.status
        said = f"{self._place} answers {status}"
        words = self.scrubber.clean(refusal.words)
        said += f" ({words})" if words else ""
        if status >= 500 or (status == 429 and not refusal.quota):
            again = Again(str(status), said)
            again.wait = retry_after(refusal.headers)
            # A server that is overloaded asks for fewer calls as well, where it says when to come back.
            again.throttled = status == 429 or status == 529 or again.wait is not None
            return again
        if status == 429:
            return BackendUnavailable(f"{said}: the account's quota is used up; answers so far are kept")
        if status < 400:
            return BackendUnavailable(f"{said}, a redirect, which is not followed: give the address that it names")
        if status == 401:
            return BackendUnavailable(
                f"{said}: the key is wrong or missing; set it, or name it with --key-env or --key-file"
            )
        if status in (403, 404, 405) and not self._answered:
            return BackendUnavailable(
                f"{said}: check --base-url (does it end in /v1?), the model's name, --api completions or chat, the key"
            )
        if refusal.too_long:
            return PromptTooLong(f"{said}: the prompt does not fit this model; use fewer shots or layers")
        if refusal.other_limit is not None:
            return OtherLimit(refusal.other_limit)
        return CallFailed(said)


class OtherLimit(BackendInputError):
    """The server wants the bound of a reply under another name, which is `str(error)`."""


def _client(options: ServerOptions, key: SecretStr | None) -> openai.AsyncOpenAI:
    """The client, without retries, redirects or logs of its own."""
    # At these levels they write whole URLs, headers and a server's own words, which may hold a key.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    secret = key.get_secret_value() if key is not None else ""
    headers = {"api-key": secret} if secret and options.on_azure_deployment else {}
    timeout = openai.Timeout(options.timeout)
    return openai.AsyncOpenAI(
        api_key=secret or "none",
        base_url=options.plain_url,
        default_query=options.query,
        default_headers=headers,
        max_retries=0,
        timeout=timeout,
        http_client=openai.DefaultAsyncHttpxClient(timeout=timeout, follow_redirects=False),
    )
