"""A baseline's run repeated with its stored replies as the only LLM."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmarks.config import RunConfig
from benchmarks.plan import make_plan
from benchmarks.runner import run_plan
from benchmarks.scorer_cases import scorer_outcomes
from llm_backends.cache.cached_backend import CachedBackend
from llm_backends.cache.jsonl import ReadOnlySource
from llm_backends.cache.nearest_request import explain_miss
from llm_backends.cache.request_key import prompt_of
from llm_backends.context import ContextLimit
from llm_backends.errors import BackendError, BackendUnavailable, CallFailed, PromptTooLong
from llm_backends.protocol import (
    Capabilities,
    Completion,
    CompletionRequest,
    Identity,
    LikelihoodRequest,
    Likelihoods,
    Request,
)
from llm_backends.registry import BUILT_IN, open_backend
from results.errors import BaselineError, first_fault
from results.regression.baseline import REPLIES, Baseline, of_run
from results.store import RunStore


class AbsentModel:
    """Stands in for the model that gave a baseline's replies: every request that reaches it fails by itself.

    So a run goes on after a missing reply, and all of them are named.

    Args:
        identity: of the model.
        context_length: in tokens, as recorded.
        replies: the stored replies, searched for the nearest to a missing one.
        too_long: prompt -> explanation of prompts recorded as too long: only the model's tokenizer could count again.
    """

    def __init__(
        self, identity: Identity, context_length: int | None, replies: ReadOnlySource, too_long: Mapping[str, str]
    ) -> None:
        self.identity = identity
        self.capabilities = Capabilities(
            likelihood=True, samples=None, token_prompts=True, tokenizer=True, context_length=context_length
        )
        self._replies = replies
        self._too_long = too_long

    def count_tokens(self, text: str) -> int:
        """Raises BackendUnavailable: the model's tokenizer is not opened."""
        raise BackendUnavailable("a baseline is repeated without its model: the record says what is too long")

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """Raises PromptTooLong for the first request if it is recorded as such, else CallFailed."""
        raise self._error(requests[0])

    def loglikelihood(self, requests: Sequence[LikelihoodRequest]) -> list[Likelihoods]:
        """Raises as `complete`."""
        raise self._error(requests[0])

    def _error(self, request: Request) -> BackendError:
        explanation = self._too_long.get(prompt_of(request))
        if explanation is not None:
            return PromptTooLong(explanation)
        return CallFailed(str(explain_miss(self.identity, request, [self._replies])))


def replay(recorded: Baseline, folder: Path) -> Baseline:
    """Runs a baseline's configuration again, by the same plan and runner as `run`.

    Its file of replies is the only cache; no model, no socket and no token store is opened.

    Args:
        recorded: the baseline.
        folder: where it is stored.

    Raises:
        BaselineError: the configuration is not one of this program.
        SpaeError, TaskError, UsageError: what it names (a task, images, a tokenizer) does not exist any more.
    """
    config, identity = recorded_config(recorded.config, folder)
    length: int | None = recorded.config.get("llm_context_length")
    replies = ReadOnlySource(folder / REPLIES)
    too_long = {record.prompt: record.explanation for record in recorded.records if record.status == "infeasible"}
    model = AbsentModel(identity, length, replies, too_long)
    backend = CachedBackend(lambda: model, identity, sources=[replies])
    plan = make_plan(config)
    with tempfile.TemporaryDirectory(prefix="spae-check-") as scratch:
        store = RunStore.create(Path(scratch) / "run", plan.run_config(identity, length))
        run_plan(plan, backend, store, context=ContextLimit(model, config.context_length), give_up=False)
        store.close()
        now = of_run(store.folder, folder / REPLIES, scorer_outcomes(plan))
    # Replies are looked up under the model that gave them; whether its name means the same model today is a fact.
    now.config.update(_model_today(config, identity, length))
    return now


def recorded_config(held: Mapping[str, Any], folder: Path) -> tuple[RunConfig, Identity]:
    """The configuration in a run.json and the model it names. Raises BaselineError if it is not of this program."""
    try:
        fields = {name: held[name] for name in RunConfig.model_fields if name in held}
        fields["tokenizers"] = held.get("tokenizer_names")  # `tokenizers` holds their fingerprints
        return RunConfig.model_validate(fields), Identity.model_validate(held.get("llm_identity"))
    except ValidationError as error:
        raise BaselineError(
            f"{folder} must hold a run of this version ({first_fault(error)}): give its run command again"
        ) from error


def _model_today(config: RunConfig, recorded: Identity, length: int | None) -> dict[str, Any]:
    """What the model's name stands for today, if that is known without a file, a server or a download."""
    if any(entry.name == config.llm and not entry.argument for entry in BUILT_IN):
        try:
            model = open_backend(config.llm, dtype=config.dtype)
            recorded, length = model.identity, ContextLimit(model, config.context_length).limit
        except BackendError:
            pass  # its package is not installed here, and replies need none
    return {"llm_identity": recorded.model_dump(mode="json"), "llm_context_length": length}
