"""From a configuration to opened parts: tasks with their samples, tokenizers, and the cells to fill."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.config import RunConfig
from benchmarks.errors import UsageError
from benchmarks.saved_samples import SavedSamples
from llm_backends.protocol import Identity
from results.analysis.settings import layer_numbers
from results.record import CellKey
from spae.data.protocol import ImageSet
from spae.tokenizers.protocol import Tokenizer
from spae.tokenizers.registry import open_tokenizer
from tasks.protocol import Samples, Task
from tasks.registry import entry, open_data, open_task

SWEEP = "sweep"
LAYERS = re.compile(r"[1-9]\d?(-[1-9]\d?)?(,[1-9]\d?(-[1-9]\d?)?)*")


@dataclass(frozen=True)
class TaskRun:
    """One task on one image set.

    Attributes:
        samples: the manifest, the same for every tokenizer and model.
    """

    task: Task
    data: ImageSet
    samples: Samples


@dataclass(frozen=True)
class TokenizerView:
    """One way to show images as words.

    Attributes:
        layers: layer numbers, ascending.
        label: the same as text, '1-2'.
        shuffle_seed: images are shown with each other's words (`benchmarks.shuffled_images`); None: with their own.
    """

    tokenizer: Tokenizer
    layers: tuple[int, ...]
    label: str
    shuffle_seed: int | None = None

    @property
    def name(self) -> str:
        """The tokenizer's, in records and tables; says where the images are shuffled."""
        return self.tokenizer.name + (" (shuffled)" if self.shuffle_seed is not None else "")

    @property
    def fingerprint(self) -> str:
        """The tokenizer's; where images are shuffled, sha256 of that and the seed."""
        if self.shuffle_seed is None:
            return self.tokenizer.fingerprint
        return hashlib.sha256(f"shuffled/{self.shuffle_seed}/{self.tokenizer.fingerprint}".encode()).hexdigest()


@dataclass(frozen=True)
class Plan:
    """Everything a run needs but the language model."""

    config: RunConfig
    jobs: tuple[TaskRun, ...]
    views: tuple[TokenizerView, ...]

    def cell(self, job: TaskRun, view: TokenizerView, setting: str, scoring: str, llm: Identity) -> CellKey:
        """What the records of one cell share."""
        return CellKey(
            task=job.task.name,
            setting=setting,
            tokenizer=view.tokenizer.name,
            tokenizer_fingerprint=view.fingerprint,
            layers=view.label,
            shuffled=view.shuffle_seed is not None,
            model=llm.model,
            model_revision=llm.revision,
            dtype=llm.dtype,
            data=job.data.name,
            data_fingerprint=job.data.fingerprint,
            prompt_style=self.config.style,
            scoring=scoring,
            seed=self.config.seed,
        )

    def run_config(self, llm: Identity, context_length: int | None) -> dict[str, Any]:
        """What makes a run this run: its configuration, and the weights, samples and model behind the names in it.

        Args:
            llm: whom it asks.
            context_length: in tokens, as the run holds to it; None where nobody states one.
        """
        return self.config.plain() | {
            "llm_identity": llm.model_dump(mode="json"),
            "llm_context_length": context_length,
            "tokenizer_sha256": {view.tokenizer.name: view.tokenizer.fingerprint for view in self.views},
            "samples_sha256": {job.task.name: job.samples.fingerprint for job in self.jobs},
        }

    def count(self) -> int:
        """Records of the whole run."""
        samples = sum(len(job.samples.of(setting)) for job in self.jobs for setting in job.samples.settings)
        return samples * len(self.views) * len(self.config.scorings)


def make_plan(config: RunConfig, saved: SavedSamples | None = None) -> Plan:
    """Opens tasks, data and tokenizers and draws the episodes; asks no model.

    Args:
        config: of the run.
        saved: samples to take up instead of drawing them. They decide settings, limit and seed: the plan's
            configuration is then that of the run that would draw them.

    Raises:
        UsageError: a scoring rule, layer subset or file of samples does not fit.
        TaskError, SpaeError: a name is unknown, or data or weights cannot be used.
    """
    facts = [entry(name) for name in config.tasks]
    for fact in facts:
        for scoring in config.scorings:
            if scoring not in fact.scorings:
                raise UsageError(f"{fact.name} has no scoring {scoring!r}: --scoring {','.join(fact.scorings)}")
    tasks = [open_task(name) for name in config.tasks]
    files = saved.by_task(config.tasks) if saved is not None else {}
    views = tuple(_views([open_tokenizer(name) for name in config.tokenizers], config.layers))
    sets: dict[tuple[str, str], ImageSet] = {}
    jobs = []
    for task, fact in zip(tasks, facts, strict=True):
        name = config.data or fact.default_data
        if (fact.opens, name) not in sets:
            sets[fact.opens, name] = open_data(fact, name)
        data = sets[fact.opens, name]
        if saved is not None:
            jobs.append(TaskRun(task, data, saved.read(task, files[task.name], data)))
        else:
            settings = config.settings or task.settings
            jobs.append(TaskRun(task, data, task.samples(data, settings, config.seed, config.limit)))
    if saved is not None:
        config = _as_drawn(config, jobs)
    if config.shuffle_images:
        views += tuple(replace(view, shuffle_seed=config.seed) for view in views)
    return Plan(config, tuple(jobs), views)


def _as_drawn(config: RunConfig, jobs: Sequence[TaskRun]) -> RunConfig:
    """The configuration that draws the samples of the jobs. Raises UsageError where no single one does."""
    kinds = {(job.samples.seed, len(job.samples.of(job.samples.settings[0]))) for job in jobs}
    settings = {None if job.samples.settings == job.task.settings else job.samples.settings for job in jobs}
    if len(kinds) > 1 or len(settings) > 1:
        raise UsageError(
            "--episodes files of one run must be of one seed, limit and choice of settings: run them apart"
        )
    seed, limit = kinds.pop()
    return config.model_copy(update={"seed": seed, "limit": limit, "settings": settings.pop()})


def default_scorings(tasks: Sequence[str]) -> tuple[str, ...]:
    """The rule of a run that names none: `ranked`, which tells weak models apart best, else the first all tasks know.

    Raises:
        UsageError: the tasks have no rule in common.
        TaskInputError: a task is unknown.
    """
    known = [entry(name).scorings for name in tasks]
    common = [rule for rule in known[0] if all(rule in rules for rules in known)]
    if not common:
        raise UsageError(f"{', '.join(tasks)} have no scoring in common: run them one by one")
    return ("ranked",) if "ranked" in common else (common[0],)


def _views(tokenizers: list[Tokenizer], subsets: tuple[str, ...]) -> Iterator[TokenizerView]:
    seen = set()
    names: dict[str, str] = {}
    for text in subsets:
        layer_subsets(text)  # a wrong spelling is told before its layers are looked for
    for tokenizer in tokenizers:
        wanted = [layers for text in subsets for layers in layer_subsets(text, tokenizer.depth)]
        if names.setdefault(tokenizer.name, tokenizer.fingerprint) != tokenizer.fingerprint:
            raise UsageError(f"two tokenizers are called {tokenizer.name!r}: rename one in its config.json")
        for layers in wanted:
            if tokenizer.depth == 1:
                layers = (1,)  # a flat tokenizer has its one layer, whatever part of a pyramid is compared with it
            elif layers[-1] > tokenizer.depth:
                raise UsageError(f"{tokenizer.name} has layers 1 to {tokenizer.depth}, got --layers {_label(layers)}")
            label = _label(layers)
            if (tokenizer.name, label) not in seen:
                seen.add((tokenizer.name, label))
                yield TokenizerView(tokenizer, layers, label)


def layer_subsets(text: str, depth: int = 1) -> list[tuple[int, ...]]:
    """What one --layers asks for, each subset ascending.

    "sweep" is layer 1, layers 1-2, and so on to all `depth` of them: the rows of the paper's Table 5. Parts that
    share no layer make one subset ("1,3", "1-2,4"); parts that do can only be meant as several, each to be run
    ("1-2,1-3").

    Raises:
        UsageError: not a list of layers from 1.
    """
    if text == SWEEP:
        return [tuple(range(1, last + 1)) for last in range(1, depth + 1)]
    if not LAYERS.fullmatch(text):
        raise UsageError(f"--layers takes layers from 1, such as 1-2 or 1,3, or sweep, got {text!r}")
    parts = [layer_numbers(part) for part in text.split(",")]
    if not all(parts):
        raise UsageError(f"a range of --layers runs upwards, got {text!r}")
    together = sorted(layer for part in parts for layer in part)
    if len(set(together)) == len(together):
        return [tuple(together)]
    return list(dict.fromkeys(parts))


def _label(layers: tuple[int, ...]) -> str:
    """(1, 2, 4) as '1-2,4': one spelling for each subset."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and runs[-1][-1] == layer - 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
