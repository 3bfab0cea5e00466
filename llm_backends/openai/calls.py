"""One call to a server, with retries.

429, 5xx              retried, after the time the server names or an exponential backoff; 429 also lowers concurrency
timeout               retried, with lower concurrency
connection cut        retried
no usable answer      retried: invalid JSON, another content type, no choices, an incomplete choice
401                   ends the run: the key is wrong for every call
403, 404, 405         end the run if the server has never answered (the key, URL or model is wrong); else as below
a redirect            ends the run: it would send the prompts to a server that nobody named
other 4xx             this request fails; a prompt over the context length is PromptTooLong
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import openai
from pydantic import SecretStr

from llm_backends.errors import BackendError, BackendInputError, BackendUnavailable, CallFailed, PromptTooLong
from llm_backends.openai.budget import BudgetTracker, Reservation
from llm_backends.openai.credentials import Redactor
from llm_backends.openai.errors import Refusal, read_refusal
from llm_backends.openai.options import Api, ServerOptions, place_of
from llm_backends.openai.rate_limit import RateLimit, backoff, retry_after
from llm_backends.openai.schema import ErrorInside, Unusable, WireReply, read_reply
from spae.network_environment import EnvironmentProblem, Proxy, client_settings

FIRST_CONTACT_ATTEMPTS = 3
"""Attempts before a server that never answered and cannot be reached counts as missing."""
UNREACHABLE_IN_A_ROW = 8
"""Requests in a row, all attempts of each, before a server that did answer counts as gone."""

T = TypeVar("T")


class Cancelled:
    """Set when something ends the run: what has not begun is cancelled, calls under way finish.

    Attributes:
        error: why the run ends; None until then.
    """

    def __init__(self) -> None:
        self.error: BackendError | None = None
        self._waiting: set[asyncio.Task[Any]] = set()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """A block that `stop` may cancel, because no call is under way in it."""
        task = asyncio.current_task()
        assert task is not None
        if self.error is not None:
            raise self.error
        self._waiting.add(task)
        try:
            yield
        finally:
            self._waiting.discard(task)

    def stop(self, error: BackendError) -> None:
        """Keeps the first error."""
        if self.error is None:
            self.error = error
            for task in self._waiting:
                task.cancel()


class Retryable(Exception):
    """A failed call that may be retried.

    Attributes:
        kind: in a word or two.
        charged: the server may have done the work.
        unreachable: there was no connection.
        wait: seconds that the server asked for; None if it did not.
        throttled: fewer calls at once are called for.
    """

    def __init__(
        self,
        kind: str,
        reason: str,
        *,
        charged: bool = False,
        unreachable: bool = False,
        wait: float | None = None,
        throttled: bool = False,
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.charged = charged
        self.unreachable = unreachable
        self.wait = wait
        self.throttled = throttled


class OtherLimit(BackendInputError):
    """The server wants the max-tokens field under another name, which is `str(error)`."""


class Caller:
    """Makes calls within the limits of one `ServerOptions`, on one event loop.

    Args:
        key: None sends none.
        tracker: counts every call.
    """

    def __init__(self, options: ServerOptions, key: SecretStr | None, tracker: BudgetTracker) -> None:
        self.place = place_of(options.base_url)
        """Host, port and path, for messages."""
        self._options = options
        self._tracker = tracker
        self._rate_limit = RateLimit(options.concurrency)
        self._answered = False
        self._unreachable = 0
        secrets = [key.get_secret_value()] if key is not None else []
        # The client reads these from the environment and sends them.
        secrets += [os.environ.get("OPENAI_ADMIN_KEY", "")]
        for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines():
            value = line.partition(":")[2].strip()
            secrets += [value, value.rpartition(" ")[2]]
        self.redactor = Redactor(secrets)
        self._without_authorization = key is None or options.on_azure_deployment
        self._proxy, verify = _network(options)
        self._client = _client(options, key, self._proxy, verify)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def call(
        self,
        endpoint: Api,
        body: Mapping[str, Any],
        reservation: Reservation,
        read: Callable[[WireReply], T],
        cancelled: Cancelled,
    ) -> T:
        """The answer to one request body, as `read` parses it.

        Args:
            reservation: the most that one such call can use.
            read: parses an answer; may raise `Unusable` or a BackendError.
            cancelled: once set, no call begins any more.

        Raises:
            CallFailed: no usable answer after all attempts, or a refusal that a retry would not change.
            PromptTooLong: the server says that the prompt does not fit.
            OtherLimit: the server wants the max-tokens field under its other name.
            BackendUnavailable, BackendInputError, BudgetSpent: nothing more can be asked.
        """
        seed = str(sorted(body.items()))
        for attempt in range(1, self._options.max_attempts + 1):
            try:
                return await self._attempt(endpoint, body, reservation, read, cancelled)
            except Retryable as error:
                last = error
            never_reached = last.unreachable and not self._answered
            if attempt == self._options.max_attempts or (never_reached and attempt >= FIRST_CONTACT_ATTEMPTS):
                break
            with cancelled.waiting():
                await asyncio.sleep(max(backoff(attempt, seed), last.wait or 0.0))
        reason = f"{self.place} gave no answer in {attempt} attempts: {last}"
        if not last.unreachable:
            raise CallFailed(reason)
        self._unreachable += 1
        if not self._answered or self._unreachable >= UNREACHABLE_IN_A_ROW:
            raise BackendUnavailable(f"{reason}; is the server running, and is base_url right?")
        raise CallFailed(reason)

    async def _attempt(
        self,
        endpoint: Api,
        body: Mapping[str, Any],
        reservation: Reservation,
        read: Callable[[WireReply], T],
        cancelled: Cancelled,
    ) -> T:
        """One call, within the rate limit and the budget."""
        with cancelled.waiting():
            await self._rate_limit.acquire()
            try:
                await self._tracker.reserve(reservation)
            except BaseException:
                self._rate_limit.release()
                raise
        try:
            return await self._counted(endpoint, body, reservation, read)
        finally:
            self._rate_limit.release()

    async def _counted(
        self, endpoint: Api, body: Mapping[str, Any], reservation: Reservation, read: Callable[[WireReply], T]
    ) -> T:
        """One call, counted once however it ends."""
        sent_at = self._rate_limit.now()
        used: tuple[int, int] | None = None
        try:
            reply = await self._send(endpoint, body)
            used = reply.used
            result = read(reply)
        except Retryable as error:
            self._tracker.fail(reservation, error.kind, charged=error.charged)
            if error.throttled:
                self._rate_limit.refused(sent_at, error.wait)
            raise
        except Unusable as error:
            self._tracker.fail(reservation, error.kind, charged=True, used=used)
            # Raised outside of the handler, as all errors here: its context may hold the server's words.
            retryable = Retryable(error.kind, self.redactor.clean(str(error)))
        except BackendError as error:
            self._tracker.fail(reservation, type(error).__name__, charged=used is not None, used=used)
            raise
        except BaseException:
            self._tracker.fail(reservation, "cancelled", charged=True)
            raise
        else:
            self._tracker.settle(reservation, used)
            self._rate_limit.answered()
            self._answered, self._unreachable = True, 0
            return result
        raise retryable

    async def _send(self, endpoint: Api, body: Mapping[str, Any]) -> WireReply:
        failure: BackendError | Retryable
        try:
            async with asyncio.timeout(self._options.timeout):
                kind, content = await self._post(endpoint, body)
            return read_reply(kind, content)
        except ErrorInside as inside:
            failure = self._refused(Refusal(inside.status or 502, str(inside), "", {}))
        except openai.APIStatusError as error:
            failure = self._refused(read_refusal(error))
        except (TimeoutError, openai.APITimeoutError):
            # Throttled: a server with more calls than it can handle answers none of them in time.
            reason = f"no answer within {self._options.timeout:g} s (timeout=)"
            failure = Retryable("timeout", reason, charged=True, throttled=True)
        except openai.APIConnectionError as error:
            failure = self._cut(error.__cause__ or error)
        raise failure

    async def _post(self, endpoint: Api, body: Mapping[str, Any]) -> tuple[str | None, bytes]:
        """Content type and body of an answer with status 2xx."""
        api = self._client.completions if endpoint == "completions" else self._client.chat.completions
        # Omitted with each call: the client reports a header omitted by default as missing.
        omitted = {"Authorization": openai.Omit()} if self._without_authorization else None
        response = await api.with_raw_response.create(**body, extra_headers=omitted)
        return response.headers.get("content-type"), response.content

    def _cut(self, error: BaseException) -> Retryable:
        words = self.redactor.clean(str(error))
        # Of the client's own HTTP library. A proxy that refuses has not let the call through.
        unreachable = type(error).__name__ in ("ConnectError", "ProxyError")
        what = "no connection" if unreachable else "the connection was cut"
        kind = "unreachable" if unreachable else "connection"
        way = f" through the proxy {self._proxy.shown}" if self._proxy is not None else ""
        reason = f"{what}{way} ({type(error).__name__}{': ' if words else ''}{words})"
        return Retryable(kind, reason, charged=not unreachable, unreachable=unreachable)

    def _refused(self, refusal: Refusal) -> BackendError | Retryable:
        """The error for a status other than success."""
        status = refusal.status
        said = f"{self.place} answers {status}"
        words = self.redactor.clean(refusal.words)
        said += f" ({words})" if words else ""
        if status >= 500 or (status == 429 and not refusal.quota):
            wait = retry_after(refusal.headers)
            # An overloaded server (529, or one that says when to come back) needs fewer calls as well.
            return Retryable(str(status), said, wait=wait, throttled=status in (429, 529) or wait is not None)
        if status == 429:
            return BackendUnavailable(f"{said}: the account's quota is used up; answers so far are kept")
        if status < 400:
            return BackendUnavailable(f"{said}, a redirect, which is not followed: set base_url to its target")
        if status == 401:
            return BackendUnavailable(f"{said}: the key is wrong or missing; set it, or name it by key_env or key_file")
        if status in (403, 404, 405) and not self._answered:
            return BackendUnavailable(
                f"{said}: check base_url (does it end in /v1?), the model's name, api=completions or chat, the key"
            )
        if refusal.too_long:
            return PromptTooLong(f"{said}: the prompt does not fit this model; use fewer shots or layers")
        if refusal.other_limit is not None:
            return OtherLimit(refusal.other_limit)
        return CallFailed(said)


def _network(options: ServerOptions) -> tuple[Proxy | None, ssl.SSLContext | bool]:
    """The proxy to the server, and the certificates. Raises BackendInputError: a variable that cannot be followed."""
    try:
        return client_settings(options.plain_url)
    except EnvironmentProblem as error:
        raise BackendInputError(str(error)) from None


def _client(
    options: ServerOptions, key: SecretStr | None, proxy: Proxy | None, verify: ssl.SSLContext | bool
) -> openai.AsyncOpenAI:
    """The client, without retries, redirects or logs of its own."""
    # At lower levels they log URLs, headers and a server's own words, which may hold a key.
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
        http_client=openai.DefaultAsyncHttpxClient(
            timeout=timeout,
            follow_redirects=False,
            # The variables of the environment have been read: `spae.network_environment`.
            proxy=proxy.url if proxy is not None else None,
            verify=verify,
            trust_env=False,
        ),
    )
