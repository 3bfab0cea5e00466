"""Request bodies of the OpenAI protocol, and strict parsing of its answers.

An answer that another call may repair raises `Unusable`; one that it would not raises CallFailed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from llm_backends.errors import CallFailed
from llm_backends.openai.credentials import Redactor
from llm_backends.openai.options import Api
from llm_backends.protocol import Choice, CompletionRequest

STOPPED = frozenset({"stop", "eos", "eos_token", "stop_sequence", "end_turn"})
CUT = frozenset({"length", "max_tokens"})
MAX_STOPS = 4
"""Stop strings that the protocol allows."""


class Unusable(Exception):
    """A successful call without a usable answer; another call may give one.

    Attributes:
        kind: in a word or two.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


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
        if type(prompt) is not int or prompt < 1:
            return None
        # An empty reply may have no count, or null.
        completion = 0 if completion is None else completion
        if type(completion) is not int or completion < 0:
            return None
        # Some servers count reasoning in the total alone; it is paid for like the reply.
        total = self.usage.get("total_tokens")
        return prompt, max(completion, total - prompt) if type(total) is int else completion


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
        reply = WireReply.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise Unusable("invalid JSON", f"the answer of {len(body)} bytes is not valid JSON") from None
        where = ".".join(map(str, first["loc"])) or "top"
        raise Unusable("malformed answer", f"the answer's JSON is not the protocol's (at {where})") from None
    if not reply.choices:
        if reply.error:
            raise _error_inside(reply.error)
        raise Unusable("no choices", "the answer holds no choices")
    return reply


def choices_of(reply: WireReply, request: CompletionRequest, api: Api, wanted: int, redactor: Redactor) -> list[Choice]:
    """The choices of an answer: at least one, at most `wanted`.

    Args:
        reply: with choices.
        redactor: redacts a server's words before they are quoted, and finds the key in a reply.

    Raises:
        Unusable: a choice without text or finish reason.
        CallFailed: the server filtered or refused the answer, truncated it, or put the key into it.
    """
    assert reply.choices is not None
    found = [_choice(one, request, api, redactor) for one in reply.choices[:wanted]]
    if any(redactor.holds(choice.text) for choice in found):
        raise CallFailed("the server put the key into its answer, which is therefore not kept")
    cut = [choice for choice in found if choice.finish == "length"]
    if cut:
        tokens = reply.used[1] if reply.used is not None else None
        # Without the server's count: a text of fewer bytes than tokens asked for was truncated, too.
        most = tokens if tokens is not None else sum(len(one.text.encode("utf-8")) for one in cut)
        asked = len(cut) * request.max_new_tokens
        if most < asked:
            count = f"{tokens} tokens" if tokens is not None else f"{most} bytes"
            raise CallFailed(
                f"a reply that ends at the limit must have the {asked} tokens asked for, the server gave {count}: "
                "it was truncated, by the server's context length or by hidden reasoning"
            )
    return found


def stopped_text(text: str, stop: tuple[str, ...]) -> str | None:
    """The text before the first stop string, if it has one: some servers leave it in."""
    cuts = [at for at in (text.find(one) for one in stop if one) if at >= 0]
    return text[: min(cuts)] if cuts else None


def _choice(choice: WireChoice, request: CompletionRequest, api: Api, redactor: Redactor) -> Choice:
    if choice.finish_reason == "content_filter":
        raise CallFailed("the server's content filter kept the answer back (finish_reason content_filter)")
    text = choice.text
    if api == "chat":
        if choice.message is None:
            raise Unusable("malformed answer", "a choice holds no message: check api=")
        if choice.message.refusal:
            raise CallFailed(f"the model refused to answer: {redactor.clean(choice.message.refusal)}")
        content = choice.message.content
        text = "".join(part.text for part in content) if isinstance(content, list) else content or ""
    if text is None:
        raise Unusable("malformed answer", "a choice holds no text")
    stopped = stopped_text(text, request.stop)
    if stopped is not None:
        return Choice(text=stopped, finish="stop")
    if choice.finish_reason in STOPPED:
        return Choice(text=text, finish="stop")
    if choice.finish_reason in CUT:
        return Choice(text=text, finish="length")
    if choice.finish_reason in ("tool_calls", "function_call"):
        raise CallFailed("the model called a tool instead of answering")
    raise Unusable("broken off", f"the answer is incomplete (finish_reason {choice.finish_reason!r})")


def _error_inside(error: object) -> ErrorInside:
    code = error.get("code") if isinstance(error, Mapping) else None
    if isinstance(code, str) and code.isdecimal():
        code = int(code)
    status = code if isinstance(code, int) and 100 <= code <= 599 else None
    return ErrorInside(status, message_of({"error": error}))


def message_of(body: object) -> str:
    """A server's own words on an error, from its various shapes; not redacted yet."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping):
            inner = inner.get("message") or inner.get("detail") or dict(inner)
        return str(inner)
    return "" if body is None else str(body)
