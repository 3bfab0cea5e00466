"""A language model that answers from a script: for tests, dry runs and rehearsing failures. Loads nothing.

A script is a JSON object; every part is optional:

    {"completions": {"PROMPT": "TEXT"},               exact prompt -> reply, or a list: one after the other, for n > 1
     "default": "TEXT",                               reply to any other prompt
     "likelihoods": {"CONTEXT": {"TEXT": -1.5}},      nats of a continuation after a context
     "default_likelihood": -10.0,                     nats of any other continuation
     "context_length": 2048,                          in words split at white space, its unit of length
     "faults": {"3": "timeout",                       what the 3rd request meets instead of a reply
                "7": {"error": "cut", "message": "M"},    the same with words of your own
                "rate": 0.3, "seed": 1,               part of all other requests that meet one, drawn from a seed
                "kinds": ["429", "cut"],              what is drawn from
                "seconds": 0.1}}                      how long every request takes

Requests are counted from 1 in each process. What a server may do to one of them: "timeout", "cut" (the line), "429",
"500", "503", "invalid-json", "no-choices", "content-type", "cut-short" (the reply), "filtered", "failed" (in general)
and "too-long" (the prompt); "unavailable" and "budget" end the run. A fault is what is left after all attempts: nothing
is tried again. Faults are no part of the model's identity, so a run that met them goes on with a script that has none.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_backends.capabilities import check_allowed
from llm_backends.errors import (
    BackendError,
    BackendInputError,
    BackendUnavailable,
    CallFailed,
    PromptTooLong,
)
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
from llm_backends.scripted.injected_failures import Faults


class Script(BaseModel):
    """What a script file holds; see the module's text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    completions: dict[str, str | tuple[str, ...]] = {}
    default: str | None = None
    likelihoods: dict[str, dict[str, float]] = {}
    default_likelihood: float | None = None
    context_length: int | None = Field(default=None, gt=0)
    faults: Faults = Faults()


def open_scripted(argument: str, dtype: str) -> ScriptedBackend:
    """Reads a script file. `dtype` changes nothing: a script does no arithmetic.

    Raises:
        BackendUnavailable: the file cannot be read.
        BackendInputError: it is not a script.
    """
    path = Path(argument).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BackendUnavailable(f"scripted:FILE needs a readable JSON file, {argument}: {error}") from error
    try:
        script = Script.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BackendInputError(
            f"a script is a JSON object, {argument} breaks that at {where}: {first['msg']}"
        ) from error
    rehearsed = script.faults != Faults()
    return RehearsedBackend(script, name=path.stem) if rehearsed else ScriptedBackend(script, name=path.stem)


class ScriptedBackend:
    """Answers from a script or from functions, counts what it is asked, and fails on request.

    Args:
        script: the answers.
        name: the model's name in its identity.
        reply: gives the text of every completion instead of the script.
        likelihood: gives the nats of (context, continuation) instead of the script.
        faults: number of a request, counted from 1 over the backend's life -> the error it raises instead of a reply;
            beside those of the script.

    A backend with functions has the revision "function": what it would say cannot be hashed, so give it its own name.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        name: str = "scripted",
        reply: Callable[[str], str] | None = None,
        likelihood: Callable[[str, str], float] | None = None,
        faults: Mapping[int, BackendError] | None = None,
    ) -> None:
        self._script = script or Script()
        self._name = name
        self._reply = reply
        self._likelihood = likelihood
        self._faults = dict(faults or {})
        self.calls = 0
        """Times `complete` or `loglikelihood` was called."""
        self.asked: list[CompletionRequest | LikelihoodRequest] = []
        """Every request it was given, in order, those that failed included."""

    @property
    def identity(self) -> Identity:
        """The revision is the sha256 of the script, faults aside."""
        canonical = json.dumps(self._script.model_dump(mode="json", exclude={"faults"}), sort_keys=True)
        scripted = self._reply is None and self._likelihood is None
        revision = hashlib.sha256(canonical.encode()).hexdigest() if scripted else "function"
        return Identity(kind="scripted", model=self._name, revision=revision, dtype="none")

    @property
    def capabilities(self) -> Capabilities:
        """Everything but token ids; the context is in words, as the script states it."""
        return Capabilities(
            likelihood=True,
            samples=None,
            token_prompts=False,
            tokenizer=True,
            context_length=self._script.context_length,
        )

    def count_tokens(self, text: str) -> int:
        """Words split at white space."""
        return len(text.split())

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """One reply per request, cut at stop strings and at `max_new_tokens` words.

        Raises:
            BackendInputError: a prompt of token ids, or several samples at temperature 0.
            PromptTooLong: the script states a context length and a prompt does not fit.
            CallFailed: the script has no reply to a prompt, or a fault is due.
        """
        self.calls += 1
        for request in requests:
            check_allowed(self.capabilities, self.identity, request)
            self._check_fits(self.count_tokens(str(request.prompt)) + request.max_new_tokens)
        return [self._complete_one(request) for request in requests]

    def loglikelihood(self, requests: Sequence[LikelihoodRequest]) -> list[Likelihoods]:
        """One reply per request.

        Raises:
            PromptTooLong: the script states a context length and a text does not fit.
            CallFailed: the script has no value for a continuation, or a fault is due.
        """
        self.calls += 1
        for request in requests:
            self._check_fits(max(self.count_tokens(request.context + text) for text in request.continuations))
        return [self._score_one(request) for request in requests]

    def _complete_one(self, request: CompletionRequest) -> Completion:
        self._count(request)
        prompt = str(request.prompt)
        held: str | tuple[str, ...] | None
        if self._reply is not None:
            held = tuple(self._reply(prompt) for _ in range(request.n))
        else:
            held = self._script.completions.get(prompt, self._script.default)
        texts = (held,) if isinstance(held, str) else held
        if not texts:
            raise CallFailed(
                f"a script answers only what it holds, it has no reply to {prompt[:60]!r}: "
                'add it to "completions" or give a "default"'
            )
        return Completion(choices=tuple(_cut(texts[i % len(texts)], request) for i in range(request.n)))

    def _score_one(self, request: LikelihoodRequest) -> Likelihoods:
        self._count(request)
        return Likelihoods(values=tuple(self._nats(request.context, text) for text in request.continuations))

    def _nats(self, context: str, continuation: str) -> float:
        if self._likelihood is not None:
            return self._likelihood(context, continuation)
        value = self._script.likelihoods.get(context, {}).get(continuation, self._script.default_likelihood)
        if value is None:
            raise CallFailed(
                f"a script scores only what it holds, it has no value for {continuation!r} after {context[-40:]!r}: "
                'add it to "likelihoods" or give a "default_likelihood"'
            )
        return value

    def _count(self, request: CompletionRequest | LikelihoodRequest) -> None:
        self.asked.append(request)
        number = len(self.asked)
        time.sleep(self._script.faults.seconds)
        fault = self._faults.get(number) or self._script.faults.of(number)
        if fault is not None:
            raise fault

    def _check_fits(self, words: int) -> None:
        limit = self._script.context_length
        if limit is not None and words > limit:
            raise PromptTooLong(f"prompt and reply are {words} words, {self._name} takes {limit}: use fewer shots")


class RehearsedBackend(ScriptedBackend):
    """A scripted model that hands over each reply or fault by itself, as a server does: none spoils another."""

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | BackendError]]:
        """Each request's index with its reply or with what kept it from one.

        Raises:
            BackendInputError, BackendUnavailable, BudgetSpent: as the script has it; what was yielded stands.
        """
        for index, request in enumerate(requests):
            reply: Reply | BackendError
            try:
                if isinstance(request, CompletionRequest):
                    (reply,) = self.complete([request])
                else:
                    (reply,) = self.loglikelihood([request])
            except (PromptTooLong, CallFailed) as error:
                reply = error
            yield index, reply


def _cut(text: str, request: CompletionRequest) -> Choice:
    """The part of a text that a model would have given."""
    cuts = [at for at in (text.find(stop) for stop in request.stop if stop) if at >= 0]
    text = text[: min(cuts)] if cuts else text
    end = _end_of_words(text, request.max_new_tokens)
    if end < len(text):
        return Choice(text=text[:end], finish="length")
    return Choice(text=text, finish="stop")


def _end_of_words(text: str, words: int) -> int:
    """Index just behind the `words`-th word of a text; its length where it has no more than that."""
    at = 0
    for _ in range(words):
        while at < len(text) and text[at].isspace():
            at += 1
        while at < len(text) and not text[at].isspace():
            at += 1
    return len(text) if not text[at:].strip() else at
