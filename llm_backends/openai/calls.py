"""One call to a server, with retries.

429, 5xx              retried, after the time the server names or an exponential backoff; 429 also lowers concurrency
timeout               retried, with lower concurrency
connection cut        retried
no usable answer      retried: invalid JSON, another content type, no choices, an incomplete choice
no answer ever        ends the run after `FRUITLESS_CALLS` calls, or after `FRUITLESS_REQUESTS` with all their attempts
401                   ends the run: the key is wrong for every call
403, 404, 405, 501, words of a wrong key, model or address, an answer of another protocol
                      end the run if the server has never answered (see `Refusal.setup`); else as below
TLS that fails        ends the run: https is asked of an http port, or the certificate is not trusted
a redirect            ends the run: it would send the prompts to a server that nobody named
other 4xx             this request fails; a prompt over the context length is PromptTooLong
a body beyond the cap this request fails
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import openai
from pydantic import SecretStr

from llm_backends.errors import BackendError, BackendInputError, BackendUnavailable, CallFailed, PromptTooLong
from llm_backends.openai.answer_body import BodyTooLong
from llm_backends.openai.budget import BudgetTracker, Reservation
from llm_backends.openai.client import network_settings, open_client
from llm_backends.openai.credentials import Redactor
from llm_backends.openai.errors import Refusal, read_refusal
from llm_backends.openai.model_list import SECONDS, ModelList, read_models
from llm_backends.openai.options import Api, ServerOptions, place_of
from llm_backends.openai.rate_limit import RateLimit, backoff, retry_after
from llm_backends.openai.schema import ErrorInside, Unusable, WireReply, read_reply

BESIDE: Mapping[Api, tuple[str, ...]] = {"completions": ("max_completion_tokens",), "chat": ()}
"""Fields of a request that a server may ask for and the client's method does not take, by endpoint."""
FIRST_CONTACT_ATTEMPTS = 3
"""Attempts before a server that never answered and cannot be reached counts as missing."""
UNREACHABLE_IN_A_ROW = 8
"""Requests in a row, all attempts of each, before a server that did answer counts as gone."""
FRUITLESS_CALLS = 12
"""Calls without a usable answer before a server that never gave one counts as unusable. Statuses that may pass (429,
5xx) do not count: a server may be starting, or busy."""
FRUITLESS_REQUESTS = 3
"""Requests, all attempts of each, to the same end; whatever failed."""

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
        fruitless: from a server that never answered, a sign that it never will.
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
        fruitless: bool = False,
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.charged = charged
        self.unreachable = unreachable
        self.wait = wait
        self.throttled = throttled
        self.fruitless = fruitless


class OtherLimit(BackendInputError):
    """The server wants the max-tokens field under another name, which is `str(error)`."""


class FieldRefused(BackendInputError):
    """The server refuses a field that may be left out, which is `str(error)`."""


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
        self.contact = asyncio.Event()
        """Set at the first usable answer."""
        self.probing = asyncio.Lock()
        """Held while echoed log-probabilities are checked."""
        self._unreachable = 0
        self._fruitless_calls = self._fruitless_requests = 0
        self._refuses = False
        self.hint = ""
        """What else to say of a server that has never answered, or how it lists its models."""
        secrets = [key.get_secret_value()] if key is not None else []
        # The client reads these from the environment and sends them.
        secrets += [os.environ.get("OPENAI_ADMIN_KEY", "")]
        for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines():
            value = line.partition(":")[2].strip()
            secrets += [value, value.rpartition(" ")[2]]
        self.redactor = Redactor(secrets)
        self._without_authorization = key is None or options.on_azure_deployment
        self._proxy, verify = network_settings(options)
        self._client = open_client(options, key, self._proxy, verify)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def call(
        self,
        endpoint: Api,
        body: Callable[[], Mapping[str, Any]],
        reservation: Reservation,
        read: Callable[[WireReply], T],
        cancelled: Cancelled,
    ) -> T:
        """The answer to one request, as `read` parses it.

        Args:
            body: makes the request's body just before it is sent, by what is known of the server then.
            reservation: the most that one such call can use.
            read: parses an answer; may raise `Unusable` or a BackendError.
            cancelled: once set, no call begins any more.

        Raises:
            CallFailed: no usable answer after all attempts, or a refusal that a retry would not change.
            PromptTooLong: the server says that the prompt does not fit.
            OtherLimit: the server wants the max-tokens field under its other name.
            FieldRefused: the server refuses a field that may be left out.
            BackendUnavailable, BackendInputError, BudgetSpent: nothing more can be asked.
        """
        seed = str(sorted(body().items()))
        for attempt in range(1, self._options.max_attempts + 1):
            try:
                return await self._attempt(endpoint, body, reservation, read, cancelled)
            except Retryable as error:
                last = error
            if self._fruitless and self._fruitless_calls >= FRUITLESS_CALLS:
                raise BackendUnavailable(self._unusable(f"{self._fruitless_calls} calls", last))
            never_reached = last.unreachable and not self._answered
            if attempt == self._options.max_attempts or (never_reached and attempt >= FIRST_CONTACT_ATTEMPTS):
                break
            with cancelled.waiting():
                await asyncio.sleep(max(backoff(attempt, seed), last.wait or 0.0))
        reason = f"{self.place} gave no answer in {attempt} attempts: {last}"
        if not last.unreachable:
            self._fruitless_requests += 1
            if self._fruitless and self._fruitless_requests >= FRUITLESS_REQUESTS:
                raise BackendUnavailable(self._unusable(f"{self._fruitless_requests} requests", last))
            raise CallFailed(reason)
        self._unreachable += 1
        if not self._answered or self._unreachable >= UNREACHABLE_IN_A_ROW:
            raise BackendUnavailable(f"{reason}; is the server running, and is base_url right?")
        raise CallFailed(reason)

    @property
    def _answered(self) -> bool:
        return self.contact.is_set()

    @property
    def _fruitless(self) -> bool:
        """Nothing came back yet but failures that an attempt more may repair: no answer, and no refusal of a prompt."""
        return not self._answered and not self._refuses

    def _unusable(self, count: str, last: Retryable) -> str:
        return (
            f"{self.place} has given no usable answer in {count}: {last}; check that it serves the model, base_url"
            f"{self._scheme_hint} and timeout={self._options.timeout:g}"
        )

    @property
    def _scheme_hint(self) -> str:
        return " (is it https?)" if self._options.base_url.lower().startswith("http:") else ""

    async def models(self) -> ModelList | None:
        """What the server says of its models; None if it says nothing, for which a first request finds the reason."""
        omitted = {"Authorization": openai.Omit()} if self._without_authorization else None
        try:
            async with asyncio.timeout(min(SECONDS, self._options.timeout)):
                response = await self._client.models.with_raw_response.list(extra_headers=omitted)
        except (openai.OpenAIError, TimeoutError, BodyTooLong):
            return None
        return read_models(response.content)

    async def post_beside(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that a path beside the base URL's /v1 answers; None where it answers none."""
        root = self._options.plain_url.rstrip("/").removesuffix("/v1")
        headers = {"Authorization": openai.Omit()} if self._without_authorization else {}
        try:
            async with asyncio.timeout(self._options.timeout):
                return await self._client.post(
                    f"{root}/{path}", cast_to=object, body=dict(body), options={"headers": headers}
                )
        except openai.APIConnectionError as error:
            failure = self._cut(error.__cause__ or error)
        except (openai.OpenAIError, TimeoutError, BodyTooLong, ValueError):  # no such path, or no JSON
            return None
        raise BackendUnavailable(f"{self.place} gave no answer: {failure}; is it running, and is base_url right?")

    async def _attempt(
        self,
        endpoint: Api,
        body: Callable[[], Mapping[str, Any]],
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
            return await self._counted(endpoint, body(), reservation, read)
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
            self._fruitless_calls += error.fruitless
            self._tracker.fail(reservation, error.kind, charged=error.charged)
            if error.throttled:
                self._rate_limit.refused(sent_at, error.wait)
            raise
        except Unusable as error:
            self._tracker.fail(reservation, error.kind, charged=True, used=used)
            # Raised outside of the handler, as all errors here: its context may hold the server's words.
            words = self.redactor.clean(str(error))
            failure: BackendError | Retryable
            if not error.lasting:
                self._fruitless_calls += 1
                failure = Retryable(error.kind, words)
            elif error.kind == "no choices" and not self._answered:
                failure = BackendUnavailable(f"{self.place}: {words}; check base_url (does it end in /v1?)")
            else:
                failure = CallFailed(f"{self.place}: {words}", lasting=True)
        except BackendError as error:
            self._refuses = self._refuses or isinstance(error, CallFailed | PromptTooLong)
            self._tracker.fail(reservation, type(error).__name__, charged=used is not None, used=used)
            raise
        except BaseException:
            self._tracker.fail(reservation, "cancelled", charged=True)
            raise
        else:
            self._tracker.settle(reservation, used)
            self._rate_limit.answered()
            self._unreachable = 0
            self.contact.set()
            return result
        raise failure

    async def _send(self, endpoint: Api, body: Mapping[str, Any]) -> WireReply:
        failure: BackendError | Retryable
        try:
            async with asyncio.timeout(self._options.timeout):
                kind, content = await self._post(endpoint, body)
            return read_reply(kind, content)
        except ErrorInside as inside:
            failure = self._refused(Refusal(inside.status or 502, str(inside), "", {}), body)
        except openai.APIStatusError as error:
            failure = self._refused(read_refusal(error), body)
        except BodyTooLong as error:
            failure = CallFailed(f"{self.place}: {error}", lasting=True)
        except (TimeoutError, openai.APITimeoutError):
            # Throttled: a server with more calls than it can handle answers none of them in time.
            reason = f"no answer within {self._options.timeout:g} s (timeout=)"
            failure = Retryable("timeout", reason, charged=True, throttled=True, fruitless=True)
        except openai.APIConnectionError as error:
            failure = self._cut(error.__cause__ or error)
        raise failure

    async def _post(self, endpoint: Api, body: Mapping[str, Any]) -> tuple[str | None, bytes]:
        """Content type and body of an answer with status 2xx."""
        api = self._client.completions if endpoint == "completions" else self._client.chat.completions
        # Omitted with each call: the client reports a header omitted by default as missing.
        omitted = {"Authorization": openai.Omit()} if self._without_authorization else None
        # What this endpoint of the client has no parameter for travels beside the others.
        extra = {name: body[name] for name in BESIDE[endpoint] if name in body} | self._options.body
        known = {name: value for name, value in body.items() if name not in extra}
        response = await api.with_raw_response.create(**known, extra_headers=omitted, extra_body=extra or None)
        return response.headers.get("content-type"), response.content

    def _cut(self, error: BaseException) -> BackendError | Retryable:
        words = self.redactor.clean(str(error))
        if isinstance(error, ssl.SSLError) or "[SSL" in words:
            return BackendUnavailable(
                f"{self.place} gave no secure connection ({words}): write http:// in base_url if the server speaks "
                "plain HTTP; else its certificate must be one that this machine trusts (SSL_CERT_FILE)"
            )
        # Of the client's own HTTP library. A proxy that refuses has not let the call through.
        unreachable = type(error).__name__ in ("ConnectError", "ProxyError")
        what = "no connection" if unreachable else "the connection was cut"
        kind = "unreachable" if unreachable else "connection"
        way = f" through the proxy {self._proxy.shown}" if self._proxy is not None else ""
        reason = f"{what}{way} ({type(error).__name__}{': ' if words else ''}{words})"
        return Retryable(kind, reason, charged=not unreachable, unreachable=unreachable, fruitless=not unreachable)

    def _refused(self, refusal: Refusal, body: Mapping[str, Any]) -> BackendError | Retryable:
        """The error for a status other than success."""
        status = refusal.status
        said = f"{self.place} answers {status}"
        words = self.redactor.clean(refusal.words)
        said += f" ({words})" if words else ""
        if refusal.too_long:
            return PromptTooLong(f"{said}: the prompt does not fit this model; use fewer shots or layers")
        if refusal.other_limit is not None:
            return OtherLimit(refusal.other_limit)
        if (field := refusal.dispensable(body)) is not None:
            return FieldRefused(field)
        if status != 401 and (refusal.setup or status in (403, 404, 405, 501)):
            fix = "check base_url (does it end in /v1?), the model's name, api=completions or chat, the key"
            fixable = f"{said}: {fix}{'; ' if self.hint else ''}{self.hint}"
            return CallFailed(said, lasting=True) if self._answered else BackendUnavailable(fixable)
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
        return CallFailed(said, lasting=True)
