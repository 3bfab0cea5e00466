"""One `run` from options to report: plan, backend with stored replies, store, progress, tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from benchmarks.config import RunConfig
from benchmarks.corpus import score_corpora
from benchmarks.errors import UsageError
from benchmarks.examples import make_examples
from benchmarks.plan import Plan, default_scorings, make_plan
from benchmarks.replies import reply_layers, reply_store
from benchmarks.runner import Runner
from benchmarks.saved_samples import SavedSamples
from benchmarks.usage import Spending
from llm_backends.cache.cached_backend import CachedBackend, CacheMode
from llm_backends.context import ContextLimit
from llm_backends.openai.options import ServerOptions
from llm_backends.protocol import Backend, Closes
from llm_backends.registry import find_backend, open_backend
from results.analysis.corpus import save_corpus
from results.differences import Difference, short
from results.display import visible
from results.errors import RunDiffers
from results.report.example import save_examples
from results.report.table_formats import to_rich
from results.report.write import write_reports
from results.store import RunStore
from spae.canonical import sha256_json
from tasks.scoring import RULES

RUNS = Path("runs")
LIMIT, SEED = 200, 0
"""Of a run whose episodes are drawn, where the user says nothing."""


@dataclass(frozen=True)
class RunOptions:
    """What the command line asks for; see its help."""

    tasks: tuple[str, ...]
    tokenizers: tuple[str, ...]
    llm: str
    data: str | None
    settings: tuple[str, ...] | None
    layers: tuple[str, ...]
    scorings: tuple[str, ...] | None
    style: Literal["gpt", "palm"]
    limit: int | None
    seed: int | None
    dtype: str
    out: Path | None
    mode: CacheMode
    resume: bool
    device: str = "auto"
    context_length: int | None = None
    replies: tuple[Path, ...] = ()
    server: ServerOptions | None = None
    episodes: tuple[Path, ...] = ()
    shuffle_images: bool = False

    def config(self) -> RunConfig:
        """The part that decides the records. Raises UsageError for an empty list."""
        for name, value in (("task", self.tasks), ("tokenizer", self.tokenizers), ("scoring", self.scorings)):
            if value is not None and not value:
                raise UsageError(f"--{name} needs at least one name, got none")
        if self.settings == ():
            raise UsageError("--setting needs at least one id, got none: leave it out for all settings")
        return RunConfig(
            tasks=self.tasks,
            tokenizers=self.tokenizers,
            llm=self.llm,
            dtype=self.dtype,
            context_length=self.context_length,
            data=self.data,
            settings=self.settings,
            layers=self.layers,
            scorings=default_scorings(self.tasks) if self.scorings is None else self.scorings,
            style=self.style,
            limit=LIMIT if self.limit is None else self.limit,
            seed=SEED if self.seed is None else self.seed,
            shuffle_images=self.shuffle_images,
        )

    @property
    def saved(self) -> SavedSamples | None:
        """The samples to take up, or None where they are drawn."""
        return SavedSamples(self.episodes, self.settings, self.limit, self.seed) if self.episodes else None


def run_benchmark(options: RunOptions) -> Path:
    """Runs, reports and prints the tables; returns the run's folder.

    Raises:
        BenchmarkError, SpaeError, TaskError, BackendError, ResultsError: see each room.
    """
    console = Console()
    config = options.config()
    find_backend(config.llm)  # a wrong name is told before images are read
    plan = make_plan(config, options.saved)
    layers = reply_layers(options.replies)  # a wrong file is told before a model is looked for
    if options.mode == "cache-only":
        _stay_offline()
    inner = open_backend(config.llm, dtype=config.dtype, device=options.device, server=options.server)
    check_scorings(config, inner)
    replies = reply_store()
    backend = CachedBackend(lambda: inner, inner.identity, replies, layers, options.mode)
    context = ContextLimit(inner, config.context_length)
    store = _open_store(options, plan, plan.run_config(inner.identity, context.limit), console)
    for job in plan.jobs:
        job.samples.save(store.folder / f"episodes-{job.task.name}.json")
        console.print(f"{job.task.name} on {job.data.title}", highlight=False, markup=False)
    spending = Spending(store, inner)
    complete = False
    try:
        with _progress(console) as progress:
            bar = progress.add_task("questions", total=plan.count())

            def advance(count: int) -> None:
                progress.advance(bar, count)
                spending.tick()

            Runner(plan, backend, store, advance, context).run()
        complete = True
    finally:
        replies.close()
        if isinstance(inner, Closes):
            inner.close()
        spending.save()
        if spending.said:
            console.print(spending.said, highlight=False, markup=False, soft_wrap=True)
        if store.records:
            save_examples(store.folder, make_examples(plan, store.records))
            if complete:
                _score_corpora(plan, store, console)
            reports = write_reports(store.folder)
    for table in reports.tables:
        console.print(to_rich(table))
    cached = sum(call.cached for call in store.calls)
    console.print(f"{len(store.records)} records, {cached} from stored replies", highlight=False)
    console.print(f"report: {store.folder / 'report.html'}", highlight=False, soft_wrap=True)
    return store.folder


def _score_corpora(plan: Plan, store: RunStore, console: Console) -> None:
    """Metrics of all replies together, for tasks that have some; what cannot be worked out here is said."""
    book = score_corpora(plan, store.records, lambda line: console.print(line, highlight=False, markup=False))
    if book is not None:
        save_corpus(store.folder, book)
        for one in book.missing:
            console.print(f"no {one.metric}: {one.reason}", highlight=False, markup=False, soft_wrap=True)


def check_scorings(config: RunConfig, model: Backend) -> None:
    """Told before an image is put into words: raises UsageError for a rule that needs what the model does not give."""
    if model.capabilities.likelihood:
        return
    for scoring in config.scorings:
        if scoring in RULES and RULES[scoring].asks == "likelihood":
            fix = " (or --echo-logprobs, where its completions do that)" if find_backend(config.llm)[0].server else ""
            raise UsageError(
                f"--scoring {scoring} needs log-likelihoods, --llm {config.llm} gives none: "
                f"use --scoring exact, prefix or contains{fix}"
            )


def _stay_offline() -> None:
    """A model of the hub is then known by what is on this machine: its client reads this when it is first imported."""
    os.environ["HF_HUB_OFFLINE"] = "1"


def _open_store(options: RunOptions, plan: Plan, run: dict[str, Any], console: Console) -> RunStore:
    """The run's folder, continued where this very run was begun in it.

    A folder that the hash of the run names is begun anew for --live, once it is complete: what is asked for then is
    another set of answers, while a run that was stopped is to be finished.
    """
    folder = options.out or RUNS / f"{'-'.join(plan.config.tasks)}-{sha256_json(run)[:10]}"
    try:
        store = RunStore.create(folder, run)
    except RunDiffers as error:
        Console(stderr=True).print(_difference_table(error.differences))
        raise
    if options.out is None and options.mode == "live" and not options.resume and not _missing(store, plan):
        return RunStore.restart(folder, run)
    if store.records:
        missing = _missing(store, plan)
        said = f"going on with {missing} of {plan.count()} questions" if missing else "complete, nothing to ask"
        console.print(f"{folder}: {said}", highlight=False, markup=False)
    return store


def _missing(store: RunStore, plan: Plan) -> int:
    """Questions that have no record yet, or one of a failed call."""
    return max(0, plan.count() - sum(record.id in store for record in store.records))


def _difference_table(found: Sequence[Difference]) -> Table:
    table = Table("field", "in the folder", "asked for")
    for one in found:
        table.add_row(*(Text(visible(short(text, 100))) for text in one))
    return table


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
