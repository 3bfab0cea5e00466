"""A language model that replies from a script: for tests, dry runs and rehearsing failures. Loads nothing.

A script is a JSON object; every part is optional:

    {"completions": {"PROMPT": "TEXT"},               exact prompt -> reply, or a list: one after the other, for n > 1
     "default": "TEXT",                               reply to any other prompt
     "likelihoods": {"CONTEXT": {"TEXT": -1.5}},      nats of a continuation after a context
     "default_likelihood": -10.0,                     nats of any other continuation
     "context_length": 2048,                          in words split at white space, its unit of length
     "failures": {"3": "timeout",                     the 3rd request fails
                  "7": {"error": "cut", "message": "M"},    the same with your own message
                  "rate": 0.3, "seed": 1,             fraction of all other requests that fail, sampled from a seed
                  "kinds": ["429", "cut"],            what is sampled from
                  "seconds": 0.1}}                    how long every request takes

Requests are counted from 1 in each process. Failures of one request: "timeout", "cut" (the connection), "429", "500",
"503", "invalid-json", "no-choices", "content-type", "cut-short" (the reply), "filtered", "refused", "failed" (in
general) and "too-long" (the prompt); "unavailable" and "budget" end the run. A failure stands for one after all
attempts: there are no retries. Failures are not part of the model's identity, so a run that met some resumes with a
script without them.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from llm_backends.errors import (
    BackendError,
    BackendInputError,
    BackendUnavailable,
    CallFailed,
    PromptTooLong,
)
from llm_backends.options import NoOptions
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
    check_allowed,
)
from llm_backends.scripted.injected_failures import InjectedFailures
from spae.canonical import Frozen
from spae.regular_file import MOST_INDEX, read_json_text


class Script(Frozen):
    """The content of a script file; see the module's docstring."""

    completions: dict[str, str | tuple[str, ...]] = Field(default={})
    default: str | None = None
    likelihoods: dict[str, dict[str, float]] = Field(default={})
    default_likelihood: float | None = None
    context_length: int | None = Field(default=None, gt=0)
    failures: InjectedFailures = InjectedFailures()


def open_scripted(argument: str, *, dtype: str, device: str, options: NoOptions) -> ScriptedBackend:
    """Reads a script file. `dtype` is ignored: a script does no arithmetic.

    Raises:
        BackendUnavailable: the file cannot be read.
        BackendInputError: it is not a script.
    """
    path = Path(argument).expanduser()
    try:
        text = read_json_text(path, MOST_INDEX).decode("utf-8")
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
    fails = script.failures != InjectedFailures()
    return StreamingScriptedBackend(script, name=path.stem) if fails else ScriptedBackend(script, name=path.stem)


class ScriptedBackend:
    """Replies from a script or from functions, counts requests, and injects failures.

    Args:
        script: the replies.
        name: the model's name in its identity.
        reply: returns the text of every completion, instead of the script.
        likelihood: returns the nats of (context, continuation), instead of the script.
        failures: number of a request, counted from 1 over the backend's life -> the error that it raises; in addition
            to those of the script.

    A backend with functions has the revision "function", since code cannot be hashed: give each its own name.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        name: str = "scripted",
        reply: Callable[[str], str] | None = None,
        likelihood: Callable[[str, str], float] | None = None,
        failures: Mapping[int, BackendError] | None = None,
    ) -> None:
        self._script = script or Script()
        self._name = name
        self._reply = reply
        self._likelihood = likelihood
        self._failures = dict(failures or {})
        self.calls = 0
        """Times `complete` or `loglikelihood` was called."""
        self.asked: list[CompletionRequest | LikelihoodRequest] = []
        """Every request, in order, those that failed included."""

    @property
    def identity(self) -> Identity:
        """The revision is the sha256 of the script without its failures."""
        canonical = json.dumps(self._script.model_dump(mode="json", exclude={"failures"}), sort_keys=True)
        scripted = self._reply is None and self._likelihood is None
        revision = hashlib.sha256(canonical.encode()).hexdigest() if scripted else "function"
        return Identity(kind="scripted", model=self._name, revision=revision, dtype="none")

    @property
    def capabilities(self) -> Capabilities:
        """Everything but token ids; the context is in words."""
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
            CallFailed: the script has no reply to a prompt, or a failure is injected.
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
            CallFailed: the script has no value for a continuation, or a failure is injected.
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
                f"a script needs a reply to every prompt, it has no reply to {prompt[:60]!r}: "
                'add it to "completions" or give a "default"',
                lasting=True,
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
                f"a script needs a value per continuation, it has no value for {continuation!r} after "
                f"{context[-40:]!r}: "
                'add it to "likelihoods" or give a "default_likelihood"',
                lasting=True,
            )
        return value

    def _count(self, request: CompletionRequest | LikelihoodRequest) -> None:
        self.asked.append(request)
        number = len(self.asked)
        time.sleep(self._script.failures.seconds)
        failure = self._failures.get(number) or self._script.failures.of(number)
        if failure is not None:
            raise failure

    def _check_fits(self, words: int) -> None:
        limit = self._script.context_length
        if limit is not None and words > limit:
            raise PromptTooLong(f"prompt and reply are {words} words, {self._name} takes {limit}: use fewer shots")


class StreamingScriptedBackend(ScriptedBackend):
    """A scripted model that yields each reply or failure by itself, as a server does."""

    def stream(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | BackendError]]:
        """Each request's index with its reply or its error.

        Raises:
            BackendInputError, BackendUnavailable, BudgetSpent: as the script says.
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
    """A text cut at stop strings and at the token limit."""
    cuts = [at for at in (text.find(stop) for stop in request.stop if stop) if at >= 0]
    text = text[: min(cuts)] if cuts else text
    end = _end_of_words(text, request.max_new_tokens)
    if end < len(text):
        return Choice(text=text[:end], finish="length")
    return Choice(text=text, finish="stop")


def _end_of_words(text: str, words: int) -> int:
    """Index just after the `words`-th word of a text; its length if it has no more words."""
    at = 0
    for _ in range(words):
        while at < len(text) and text[at].isspace():
            at += 1
        while at < len(text) and not text[at].isspace():
            at += 1
    return len(text) if not text[at:].strip() else at
