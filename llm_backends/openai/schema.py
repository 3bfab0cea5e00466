"""Requests as the OpenAI protocol spells them, and its answers read strictly.

An answer becomes choices only where nothing about it is in doubt. What a second call may mend raises `Unusable`; what
it would not mend raises CallFailed.
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
MOST_STOPS = 4
"""Stop strings that the protocol allows."""


class Unusable(Exception):
    """An answer that is none, though the call went through: another call may give one.

    Attributes:
        fault: its kind, in a word or two.
    """

    def __init__(self, fault: str, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault


class ErrorInside(Exception):
    """A status of 200 around an error, as some gateways send it.

    Attributes:
        status: the error's own code where it is a number of three digits.
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
    """An answer, its fields checked as far as they are used."""

    choices: list[WireChoice] | None = None
    usage: Any = None
    error: Any = None

    @property
    def used(self) -> tuple[int, int] | None:
        """Tokens of prompt and reply; None where the server does not count them, or counts a prompt of none."""
        if not isinstance(self.usage, dict):
            return None
        prompt, completion = self.usage.get("prompt_tokens"), self.usage.get("completion_tokens", 0)
        if type(prompt) is not int or prompt < 1:
            return None
        # A reply of no tokens may be left out, or be null.
        completion = 0 if completion is None else completion
        if type(completion) is not int or completion < 0:
            return None
        # Some count what a model thinks in the total alone; it is paid for like the reply.
        total = self.usage.get("total_tokens")
        return prompt, max(completion, total - prompt) if type(total) is int else completion


def completion_body(
    request: CompletionRequest, model: str, api: Api, limit: str, n: int, seed: int, *, blank_stops: bool = True
) -> dict[str, Any]:
    """What to send for `n` choices: no field that the protocol's default would do for, as servers differ in the others.

    Args:
        request: what is asked.
        model: the server's name of the model.
        api: a completion takes the prompt as it is, a chat as the one message of a user.
        limit: name of the field that bounds the reply.
        n: choices wanted.
        seed: of the first choice; sent only where something is drawn.
        blank_stops: the server takes a stop string of nothing but white space.
    """
    body: dict[str, Any] = {"model": model}
    if api == "completions":
        body["prompt"] = request.prompt if isinstance(request.prompt, str) else list(request.prompt)
    else:
        body["messages"] = [{"role": "user", "content": request.prompt}]
    body |= {limit: request.max_new_tokens, "temperature": request.temperature}
    # The reply is cut at each of them afterwards (`choices_of`): one that is not sent costs a few tokens, nothing else.
    stops = [stop for stop in request.stop if stop.strip() or blank_stops][:MOST_STOPS]
    if stops:
        body["stop"] = stops
    if n > 1:
        body["n"] = n
    if request.temperature > 0:
        body["seed"] = seed
    return body


def read_reply(content_type: str | None, body: bytes) -> WireReply:
    """The answer in a body that came with status 200.

    Raises:
        Unusable: another content type, no JSON, fields of the wrong kind, or no choices.
        ErrorInside: an error instead of an answer.
    """
    kind = (content_type or "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Unusable("content type", f"the answer's content type is {kind}, not application/json")
    try:
        reply = WireReply.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise Unusable("invalid JSON", f"the answer of {len(body)} bytes is no whole JSON") from None
        where = ".".join(map(str, first["loc"])) or "top"
        raise Unusable("odd answer", f"the answer's JSON is not the protocol's (at {where})") from None
    if not reply.choices:
        if reply.error:
            raise _error_inside(reply.error)
        raise Unusable("no choices", "the answer holds no choices")
    return reply


def choices_of(reply: WireReply, request: CompletionRequest, api: Api, wanted: int, scrubber: Redactor) -> list[Choice]:
    """The choices of an answer: at least one, and not more than `wanted`.

    Args:
        reply: with choices.
        request: what was asked.
        api: through which of the two.
        wanted: most choices to take.
        scrubber: cleans a server's words before they are quoted, and tells a reply that holds the key.

    Raises:
        Unusable: a choice without text or an end, or one that was broken off.
        CallFailed: the server filtered or refused the answer, cut it short of what was asked, or put the key into it.
    """
    assert reply.choices is not None
    found = [_choice(one, request, api, scrubber) for one in reply.choices[:wanted]]
    if any(scrubber.holds(choice.text) for choice in found):
        raise CallFailed("the server put the key into its answer, which is therefore not kept")
    cut = [choice for choice in found if choice.finish == "length"]
    if cut:
        tokens = reply.used[1] if reply.used is not None else None
        # Where the server counts no tokens, a text of fewer bytes than tokens asked for still gives it away.
        most = tokens if tokens is not None else sum(len(one.text.encode("utf-8")) for one in cut)
        asked = len(cut) * request.max_new_tokens
        if most < asked:
            count = f"{tokens} tokens" if tokens is not None else f"{most} bytes"
            raise CallFailed(
                f"a reply that ends at the limit must have the {asked} tokens asked for, the server gave {count}: "
                "it was cut short, by the server's own context length or by a model that thinks first"
            )
    return found


def stopped_text(text: str, stop: tuple[str, ...]) -> str | None:
    """The text before the first stop string, where it has one: servers differ in whether they leave it in."""
    cuts = [at for at in (text.find(one) for one in stop if one) if at >= 0]
    return text[: min(cuts)] if cuts else None


def _choice(choice: WireChoice, request: CompletionRequest, api: Api, scrubber: Redactor) -> Choice:
    if choice.finish_reason == "content_filter":
        raise CallFailed("the server's content filter kept the answer back (finish_reason content_filter)")
    text = choice.text
    if api == "chat":
        if choice.message is None:
            raise Unusable("odd answer", "a choice holds no message: is this server's chat what --api names?")
        if choice.message.refusal:
            raise CallFailed(f"the model refused to answer: {scrubber.clean(choice.message.refusal)}")
        content = choice.message.content
        text = "".join(part.text for part in content) if isinstance(content, list) else content or ""
    if text is None:
        raise Unusable("odd answer", "a choice holds no text")
    stopped = stopped_text(text, request.stop)
    if stopped is not None:
        return Choice(text=stopped, finish="stop")
    if choice.finish_reason in STOPPED:
        return Choice(text=text, finish="stop")
    if choice.finish_reason in CUT:
        return Choice(text=text, finish="length")
    if choice.finish_reason in ("tool_calls", "function_call"):
        raise CallFailed("the model called a tool instead of answering")
    raise Unusable("broken off", f"the answer does not say that it ended (finish_reason {choice.finish_reason!r})")


def _error_inside(error: object) -> ErrorInside:
    code = error.get("code") if isinstance(error, Mapping) else None
    if isinstance(code, str) and code.isdecimal():
        code = int(code)
    status = code if isinstance(code, int) and 100 <= code <= 599 else None
    return ErrorInside(status, message_of({"error": error}))


def message_of(body: object) -> str:
    """A server's own words on an error, out of the shapes that they come in; not scrubbed yet."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping):
            inner = inner.get("message") or inner.get("detail") or dict(inner)
        return str(inner)
    return "" if body is None else str(body)
