"""Request bodies of the OpenAI protocol, and strict parsing of its answers.

An answer that another call may repair raises `Unusable`; one that it would not raises it as lasting, or CallFailed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from llm_backends.errors import CallFailed
from llm_backends.openai.credentials import Redactor
from llm_backends.openai.options import Api
from llm_backends.protocol import Choice, CompletionRequest
from spae.regular_file import parse_json

STOPPED = frozenset({"stop", "eos", "eos_token", "stop_sequence", "end_turn", "complete", "completed"})
"""Finish reasons in lower case; servers differ in it."""
CUT = frozenset({"length", "max_tokens"})
MAX_TOKEN_CHARACTERS = 128
"""Of one token; the longest in use are runs of as many spaces. A reply beyond that many per token is cut."""
CUT_REPLY = "a reply far longer than the tokens asked for was cut"
MOST_DIGITS = 20
"""Of a whole number; longer ones are read as real numbers, which no count is."""
MAX_TOKENS = 100_000_000
"""Tokens of one call that a server can have counted; no context is as long."""
MAX_STOPS = 4
"""Stop strings that the protocol allows."""


class Unusable(Exception):
    """A successful call without a usable answer.

    Attributes:
        kind: in a word or two.
        lasting: another call would not give one, since the server speaks another protocol.
    """

    def __init__(self, kind: str, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.kind = kind
        self.lasting = lasting


class ErrorInside(Exception):
    """An error inside an answer with status 200, as some gateways send it.

    Attributes:
        status: the error's own code, if it is an HTTP status.
    """

    def __init__(self, status: int | None, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Part(_Lenient):
    type: str = ""
    text: str = ""


class _Message(_Lenient):
    content: str | list[_Part] | None = None
    refusal: str | None = None


class WireLogprobs(_Lenient):
    """Log-probabilities of a completion's tokens, in order."""

    tokens: list[str]
    token_logprobs: list[float | None]
    text_offset: Any = None


class WireChoice(_Lenient):
    """One choice of either kind of answer."""

    text: str | None = None
    message: _Message | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class WireReply(_Lenient):
    """An answer; only the fields that are used."""

    choices: list[WireChoice] | None = None
    usage: Any = None
    error: Any = None

    @property
    def used(self) -> tuple[int, int] | None:
        """Tokens of prompt and reply; None if the server does not count them."""
        if not isinstance(self.usage, dict):
            return None
        prompt, completion = self.usage.get("prompt_tokens"), self.usage.get("completion_tokens", 0)
        if type(prompt) is not int or not 1 <= prompt <= MAX_TOKENS:
            return None
        # An empty reply may have no count, or null.
        completion = 0 if completion is None else completion
        if type(completion) is not int or not 0 <= completion <= MAX_TOKENS:
            return None
        # Some servers count reasoning in the total alone; it is paid for like the reply.
        total = self.usage.get("total_tokens")
        if type(total) is int and 0 <= total <= MAX_TOKENS:
            completion = max(completion, total - prompt)
        return prompt, completion


def completion_body(
    request: CompletionRequest, model: str, api: Api, limit: str, n: int, seed: int, *, blank_stops: bool = True
) -> dict[str, Any]:
    """The request body for `n` choices, without fields whose default would do: servers differ in what they accept.

    Args:
        model: the server's name of the model.
        api: completions take the prompt as it is, chat as the one message of a user.
        limit: name of the max-tokens field.
        n: choices wanted.
        seed: of the first choice; sent only with a temperature.
        blank_stops: the server accepts a stop string of white space only.
    """
    body: dict[str, Any] = {"model": model}
    if api == "completions":
        body["prompt"] = request.prompt if isinstance(request.prompt, str) else list(request.prompt)
    else:
        body["messages"] = [{"role": "user", "content": request.prompt}]
    body |= {limit: request.max_new_tokens, "temperature": request.temperature}
    # The reply is cut at every stop string in `choices_of`: one that is not sent only costs tokens.
    stops = [stop for stop in request.stop if stop.strip() or blank_stops][:MAX_STOPS]
    if stops:
        body["stop"] = stops
    if n > 1:
        body["n"] = n
    if request.temperature > 0:
        body["seed"] = seed
    return body


def _whole(value: Any) -> Any:
    """The same value with a replacement character for each half of a character, which no file could hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(one) for name, one in value.items()}
    return value


def read_reply(content_type: str | None, body: bytes) -> WireReply:
    """Parses the body of an answer with status 200.

    Raises:
        Unusable: another content type, invalid JSON, fields of the wrong type, or no choices.
        ErrorInside: an error instead of an answer.
    """
    kind = (content_type or "application/json").partition(";")[0].strip()
    if kind.lower() != "application/json" and not kind.lower().endswith("+json"):
        # Quoted as it came: in lower case, a key in it would not be redacted.
        raise Unusable("content type", f"the answer's content type is {kind}, not application/json")
    try:
        # Escapes may spell half a character (a cut emoji), and a count may have more digits than Python reads.
        value = parse_json(body, parse_int=lambda digits: int(digits) if len(digits) < MOST_DIGITS else float(digits))
    except ValueError:
        raise Unusable("invalid JSON", f"the answer of {len(body)} bytes is not valid JSON") from None
    try:
        reply = WireReply.model_validate(_whole(value))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "top"
        reason = f"the answer's JSON is not the protocol's (at {where})"
        raise Unusable("malformed answer", reason, lasting=True) from None
    if not reply.choices:
        if reply.error:
            raise _error_inside(reply.error)
        # llama.cpp's own endpoint, which is at the same address without /v1, answers with `content`.
        lasting = "choices" not in reply.model_fields_set
        raise Unusable("no choices", "the answer holds no choices", lasting=lasting)
    return reply


def choices_of(
    reply: WireReply,
    request: CompletionRequest,
    api: Api,
    wanted: int,
    redactor: Redactor,
    note: Callable[[str], None] = lambda reason: None,
) -> list[Choice]:
    """The choices of an answer: at least one, at most `wanted`.

    Servers count the tokens of a reply differently (of one choice or of all, without the last one), so a reply that
    ends at the limit is refused only where it is empty.

    Args:
        reply: with choices.
        redactor: redacts a server's words before they are quoted, and finds the key in a reply.
        note: told of each reply that was cut (`CUT_REPLY`).

    Raises:
        Unusable: a choice without text or finish reason.
        CallFailed: the server filtered or refused the answer, gave no text up to the limit, or put the key into it.
    """
    assert reply.choices is not None
    found = [_choice(one, request, api, redactor) for one in reply.choices[:wanted]]
    most = request.max_new_tokens * MAX_TOKEN_CHARACTERS
    for place, choice in enumerate(found):
        if len(choice.text) > most:
            note(CUT_REPLY)
            found[place] = Choice(text=choice.text[:most], finish="length")
    if any(redactor.holds(choice.text) for choice in found):
        raise CallFailed("the server put the key into its answer, which is therefore not kept")
    if any(choice.finish == "length" and not choice.text for choice in found):
        raise CallFailed(
            f"a reply that ends at the limit of {request.max_new_tokens} tokens must have some text, the server gave "
            "none: hidden reasoning used them up, or the server's context length",
            lasting=request.temperature == 0,
        )
    return found


def stopped_text(text: str, stop: tuple[str, ...]) -> str | None:
    """The text before the first stop string, if it has one: some servers leave it in."""
    cuts = [at for at in (text.find(one) for one in stop if one) if at >= 0]
    return text[: min(cuts)] if cuts else None


def _choice(choice: WireChoice, request: CompletionRequest, api: Api, redactor: Redactor) -> Choice:
    reason = (choice.finish_reason or "").casefold()
    if reason == "content_filter":
        raise CallFailed(
            "the server's content filter kept the answer back (finish_reason content_filter)", lasting=True
        )
    text = choice.text
    if api == "chat":
        if choice.message is None:
            raise Unusable("malformed answer", "a choice holds no message: check api=", lasting=True)
        if choice.message.refusal:
            raise CallFailed(f"the model refused to answer: {redactor.clean(choice.message.refusal)}", lasting=True)
        content = choice.message.content
        text = "".join(part.text for part in content) if isinstance(content, list) else content or ""
    if text is None:
        raise Unusable("malformed answer", "a choice holds no text: check api=", lasting=True)
    stopped = stopped_text(text, request.stop)
    if stopped is not None:
        return Choice(text=stopped, finish="stop")
    # Some servers give no reason: what they give as the answer is one, if there is any.
    if reason in STOPPED or (not reason and text.strip()):
        return Choice(text=text, finish="stop")
    if reason in CUT:
        return Choice(text=text, finish="length")
    if reason in ("tool_calls", "function_call"):
        raise CallFailed("the model called a tool instead of answering", lasting=True)
    said = redactor.clean(choice.finish_reason or "")
    raise Unusable("broken off", f"the answer is incomplete (finish_reason {said!r})")


def _error_inside(error: object) -> ErrorInside:
    code = error.get("code") if isinstance(error, Mapping) else None
    if isinstance(code, str) and re.fullmatch(r"[1-5][0-9][0-9]", code):
        code = int(code)
    status = code if type(code) is int and 100 <= code <= 599 else None
    return ErrorInside(status, message_of({"error": error}))


def message_of(body: object) -> str:
    """A server's own words on an error, from its various shapes; not redacted yet."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping):
            inner = inner.get("message") or inner.get("detail") or dict(inner)
        body = inner
    try:
        return "" if body is None else str(body)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or lists nested as deep
        return "an error that cannot be shown"
