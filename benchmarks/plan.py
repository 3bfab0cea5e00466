"""From a configuration to opened parts: tasks with their samples, tokenizers, and the cells to fill."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from benchmarks.config import RunConfig
from benchmarks.errors import UsageError
from benchmarks.manifests import SavedSamples
from benchmarks.shuffled_images import shuffle_images
from llm_backends.protocol import Identity
from results.analysis.settings import layer_numbers
from results.record import CellKey
from spae.data.protocol import ImageSet
from spae.layers import format_layers
from spae.metrics.protocol import MetricFacts
from spae.plugins import PluginFault, check_members
from spae.tokenizers.checked import checked_tokenizer
from spae.tokenizers.codec import Codec
from spae.tokenizers.protocol import Tokenizer
from spae.tokenizers.registry import open_tokenizer
from spae.tokenizers.store import TokenStore
from tasks.protocol import Sample, Samples, Task
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
        shuffled: images are shown with each other's words (`benchmarks.shuffled_images`).
    """

    tokenizer: Tokenizer
    layers: tuple[int, ...]
    label: str
    shuffled: bool = False


@dataclass(frozen=True)
class Cell:
    """The samples of one task and setting, under one tokenizer view, model and scoring rule.

    Attributes:
        key: what its records share.
        task: configured with the cell's prompt style and scoring rule.
        codec: the tokenizer view on the task's images; shared by the cells of a view.
        samples: in the order of the manifest.
    """

    key: CellKey
    task: Task
    codec: Codec
    samples: Sequence[Sample]

    def record_id(self, sample: Sample) -> str:
        """The id of a sample's record, known before anything is asked."""
        return self.key.record_id(sample.id)


@dataclass(frozen=True)
class Plan:
    """Everything a run needs but the language model."""

    config: RunConfig
    task_runs: tuple[TaskRun, ...]
    views: tuple[TokenizerView, ...]
    store: TokenStore = field(default_factory=lambda: TokenStore(None))

    def cells(self, model: Identity) -> Iterator[Cell]:
        """Every cell: task and data, tokenizer view, scoring rule, setting."""
        for run in self.task_runs:
            for view in self.views:
                codec = self.codec(run.data, view)
                for scoring in self.config.scorings:
                    task = run.task.configured(prompt_style=self.config.prompt_style, scoring=scoring)
                    for setting in run.samples.settings:
                        key = self._key(run, view, setting, scoring, model)
                        yield Cell(key, task, codec, run.samples.of(setting))

    def codec(self, data: ImageSet, view: TokenizerView) -> Codec:
        """A tokenizer view on the images of a data set."""
        shuffled = shuffle_images(data, self.config.seed) if view.shuffled else None
        return Codec(view.tokenizer, view.layers, data, self.store, shuffled)

    def _key(self, run: TaskRun, view: TokenizerView, setting: str, scoring: str, model: Identity) -> CellKey:
        return CellKey(
            task=run.task.name,
            setting=setting,
            tokenizer=view.tokenizer.name,
            tokenizer_fingerprint=view.tokenizer.fingerprint,
            layers=view.label,
            shuffled=view.shuffled,
            model=model.model,
            model_revision=model.revision,
            dtype=model.dtype,
            data=run.data.name,
            data_fingerprint=run.data.fingerprint,
            prompt_style=self.config.prompt_style,
            scoring=scoring,
            seed=self.config.seed,
        )

    def run_config(self, model: Identity, context_length: int | None) -> dict[str, Any]:
        """What identifies the run: its configuration, and the weights, samples and model behind the names in it.

        Args:
            model: the model that is asked.
            context_length: in tokens, as the run enforces it; None where it is unknown.
        """
        tokenizers = {view.tokenizer.name: view.tokenizer for view in self.views}
        return self.config.plain() | {
            "llm_identity": model.model_dump(mode="json"),
            "llm_context_length": context_length,
            "tokenizer_names": list(self.config.tokenizers),
            "tokenizers": {
                name: {"fingerprint": one.fingerprint, "depth": one.depth, "family": one.family}
                for name, one in tokenizers.items()
            },
            "samples_sha256": {run.task.name: run.samples.fingerprint for run in self.task_runs},
            "metrics": {
                run.task.name: [metric.model_dump(mode="json") for metric in run.task.metrics] for run in self.task_runs
            },
        }

    def count(self) -> int:
        """Records of the whole run."""
        samples = sum(len(run.samples.of(setting)) for run in self.task_runs for setting in run.samples.settings)
        return samples * len(self.views) * len(self.config.scorings)


def in_order(cells: Iterable[Cell]) -> Iterator[tuple[Cell, Sample]]:
    """The samples of cells in the order of a run's records.

    Cells of one codec and rule are interleaved, sample by sample, so that prompts with a common beginning follow each
    other: a local model computes it once.
    """
    for _, group in groupby(cells, key=lambda cell: id(cell.codec)):
        by_scoring: dict[str, list[Cell]] = {}
        for cell in group:
            by_scoring.setdefault(cell.key.scoring, []).append(cell)
        columns = [list(zip(*(cell.samples for cell in some), strict=True)) for some in by_scoring.values()]
        for samples_of_rules in zip(*columns, strict=True):
            for some, samples in zip(by_scoring.values(), samples_of_rules, strict=True):
                yield from zip(some, samples, strict=True)


def make_plan(config: RunConfig, saved: SavedSamples | None = None, store: TokenStore | None = None) -> Plan:
    """Opens tasks, data and tokenizers and samples the episodes; asks no model.

    Args:
        config: of the run.
        saved: manifests to use instead of sampling. They decide settings, limit and seed: the plan's configuration is
            then that of the run that would sample them.
        store: keeps tokens between runs; None keeps them in memory for this one.

    Raises:
        UsageError: a scoring rule, layer subset or manifest does not fit.
        TaskError, SpaeError: a name is unknown, or data or weights cannot be used.
    """
    facts = [entry(name) for name in config.tasks]
    for fact in facts:
        for scoring in config.scorings:
            if scoring not in fact.scorings:
                raise UsageError(f"{fact.name} has no scoring {scoring!r}: --scoring {','.join(fact.scorings)}")
    tasks = [_checked_task(open_task(name), name) for name in config.tasks]
    files = saved.by_task(config.tasks) if saved is not None else {}
    views = tuple(_views(config))
    sets: dict[tuple[str, str], ImageSet] = {}
    runs = []
    for task, fact in zip(tasks, facts, strict=True):
        name = config.data or fact.default_data
        if (fact.opens, name) not in sets:
            sets[fact.opens, name] = open_data(fact, name)
        data = sets[fact.opens, name]
        if saved is not None:
            samples = saved.read(task, files[task.name], data)
        else:
            samples = task.samples(data, config.settings or task.settings, config.seed, config.limit)
            _check_samples(samples, task.name)
        runs.append(TaskRun(task, data, samples))
    if saved is not None:
        config = _as_sampled(config, runs)
    if config.shuffle_images:
        views += tuple(replace(view, shuffled=True) for view in views)
    return Plan(config, tuple(runs), views, store or TokenStore(None))


def _checked_task(task: Task, name: str) -> Task:
    """The same task. Raises UsageError where a plug-in is something else."""
    try:
        check_members(task, Task)
        for part, kind in (("settings", str), ("metrics", MetricFacts)):
            found = getattr(task, part)
            if not (isinstance(found, tuple) and found and all(isinstance(one, kind) for one in found)):
                raise PluginFault(f"its {part} must be a tuple of {kind.__name__}, got {found!r:.60}")
    except PluginFault as fault:
        raise UsageError(f"task {name!r} cannot be used: {fault}") from fault
    return task


def _check_samples(samples: Samples, task: str) -> None:
    """Raises UsageError where a plug-in's task makes something else."""
    try:
        check_members(samples, Samples)
    except PluginFault as fault:
        raise UsageError(f"samples of task {task!r} cannot be used: {fault}") from fault


def _as_sampled(config: RunConfig, runs: Sequence[TaskRun]) -> RunConfig:
    """The configuration that samples what the runs hold. Raises UsageError where no single one does."""
    kinds = {(run.samples.seed, len(run.samples.of(run.samples.settings[0]))) for run in runs}
    settings = {None if run.samples.settings == run.task.settings else run.samples.settings for run in runs}
    if len(kinds) > 1 or len(settings) > 1:
        raise UsageError(
            "--manifest files of one run must be of one seed, limit and choice of settings: run them apart"
        )
    seed, limit = kinds.pop()
    return config.model_copy(update={"seed": seed, "limit": limit, "settings": settings.pop()})


def default_scorings(tasks: Sequence[str]) -> tuple[str, ...]:
    """The rule of a run that names none: `ranked`, which separates weak models best, else the first all tasks have.

    Raises:
        UsageError: the tasks have no rule in common.
        TaskInputError: a task is unknown.
    """
    known = [entry(name).scorings for name in tasks]
    common = [rule for rule in known[0] if all(rule in rules for rules in known)]
    if not common:
        raise UsageError(f"{', '.join(tasks)} have no scoring in common: run them one by one")
    return ("ranked",) if "ranked" in common else (common[0],)


def _views(config: RunConfig) -> Iterator[TokenizerView]:
    seen = set()
    names: dict[str, str] = {}
    for text in config.layers:
        layer_subsets(text)  # fail on a wrong spelling before a tokenizer is opened
    for name in config.tokenizers:
        tokenizer = checked_tokenizer(open_tokenizer(name), name)
        wanted = [layers for text in config.layers for layers in layer_subsets(text, tokenizer.depth)]
        if names.setdefault(tokenizer.name, tokenizer.fingerprint) != tokenizer.fingerprint:
            raise UsageError(f"two tokenizers are called {tokenizer.name!r}: rename one in its config.json")
        for layers in wanted:
            if tokenizer.depth == 1:
                layers = (1,)  # a flat tokenizer has only this, whatever part of a pyramid is compared with it
            elif layers[-1] > tokenizer.depth:
                raise UsageError(
                    f"{tokenizer.name} has layers 1 to {tokenizer.depth}, got --layers {format_layers(layers)}"
                )
            label = format_layers(layers)
            if (tokenizer.name, label) not in seen:
                seen.add((tokenizer.name, label))
                yield TokenizerView(tokenizer, layers, label)


def layer_subsets(text: str, depth: int = 1) -> list[tuple[int, ...]]:
    """The layer subsets of one --layers, each ascending.

    "sweep" is layer 1, layers 1-2, and so on to all `depth` of them: the rows of the paper's Table 5. Parts that
    share no layer make one subset ("1,3", "1-2,4"); parts that do share one are several subsets, each to be run
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
