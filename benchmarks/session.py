"""One `run` from options to report: plan, model behind the cache, store, progress, examples, tables."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.config import RunConfig
from benchmarks.corpus import score_corpora
from benchmarks.ending import at_end
from benchmarks.errors import UsageError, deliberate_errors
from benchmarks.examples import make_examples
from benchmarks.faults import fault_lines
from benchmarks.manifests import SavedSamples
from benchmarks.plan import Plan, default_scorings, make_plan
from benchmarks.progress import shown_progress
from benchmarks.reply_sources import read_only_sources, reply_store
from benchmarks.rescoring import MANIFEST, rescore
from benchmarks.runner import run_plan
from benchmarks.token_files import committed_tokens
from benchmarks.usage import UsageFile
from llm_backends.cache.cached_backend import CachedBackend, CacheMode
from llm_backends.context import ContextLimit
from llm_backends.protocol import Backend, Closes
from llm_backends.registry import find_backend, open_backend
from results.analysis.corpus import save_corpus
from results.analysis.tables import ResultTable
from results.differences import Difference, short
from results.display import visible
from results.errors import RunDiffers
from results.report.example import save_examples
from results.report.table_formats import to_rich
from results.report.write import kept_tables, write_reports
from results.store import RunStore
from spae.cache_folder import cache_folder
from spae.canonical import sha256_json
from spae.console import SafeConsole
from spae.tokenizers.store import TokenStore
from tasks.scoring import RULES

log = logging.getLogger(__name__)
RUNS = Path("runs")
LIMIT, SEED = 200, 0
"""Of a run whose samples are not read from a manifest, unless the user says otherwise."""


@dataclass(frozen=True)
class RunOptions:
    """The options of the command line; see its help."""

    tasks: tuple[str, ...]
    tokenizers: tuple[str, ...]
    llm: str
    data: str | None
    settings: tuple[str, ...] | None
    layers: tuple[str, ...]
    scorings: tuple[str, ...] | None
    prompt_style: Literal["gpt", "palm"]
    limit: int | None
    seed: int | None
    dtype: str
    out: Path | None
    mode: CacheMode
    resume: bool
    device: str = "auto"
    context_length: int | None = None
    cache_files: tuple[Path, ...] = ()
    backend_options: Mapping[str, str] = field(default_factory=dict)
    manifests: tuple[Path, ...] = ()
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
            prompt_style=self.prompt_style,
            limit=LIMIT if self.limit is None else self.limit,
            seed=SEED if self.seed is None else self.seed,
            shuffle_images=self.shuffle_images,
        )

    @property
    def saved(self) -> SavedSamples | None:
        """The manifests to use, or None to sample new episodes."""
        return SavedSamples(self.manifests, self.settings, self.limit, self.seed) if self.manifests else None


@dataclass(frozen=True)
class Finished:
    """A run that came to its end.

    Attributes:
        folder: the run's.
        scored: records with a score; 0 for a run that shows nothing.
    """

    folder: Path
    scored: int


def run_benchmark(options: RunOptions) -> Finished:
    """Runs, reports and prints the tables.

    Raises:
        BenchmarkError, SpaeError, TaskError, BackendError, ResultsError: see each room.
        OSError: the disk does not take what is written.
    """
    console = SafeConsole()
    config = options.config()
    find_backend(config.llm)  # fail on an unknown model before reading any image
    sources = read_only_sources(options.cache_files)  # fail on a broken file before reading any image
    tokens = token_store()
    with at_end(tokens.close):
        plan = make_plan(config, options.saved, tokens)
        if options.mode == "cache-only":
            _stay_offline()
        inner = open_backend(config.llm, dtype=config.dtype, device=options.device, options=options.backend_options)
        check_scorings(config, inner)
        replies = reply_store()
        with at_end(replies.close, inner.close if isinstance(inner, Closes) else lambda: None):
            backend = CachedBackend(lambda: inner, inner.identity, replies, sources, options.mode)
            context = ContextLimit(inner, config.context_length)
            store = _open_store(options, plan, plan.run_config(inner.identity, context.limit), console)
            _put_scores_right(store, plan, console)
            for run in plan.task_runs:
                run.samples.save(store.folder / MANIFEST.format(task=run.task.name))
                console.print(f"{run.task.name} on {run.data.title}", highlight=False)
            tables = _run(plan, backend, context, store, UsageFile(store, inner), console)
    for table in tables:
        console.print(to_rich(table))
    for line in fault_lines(store.records):
        console.print(line, highlight=False, soft_wrap=True)
    cached = sum(call.cached for call in store.calls)
    console.print(f"{len(store.records)} records, {cached} from stored replies", highlight=False)
    if backend.unstored:
        console.print(f"{backend.unstored:,} replies could not be stored: see above", highlight=False)
    console.print(f"report: {store.folder / 'report.html'}", highlight=False, soft_wrap=True)
    return Finished(store.folder, sum(record.status == "scored" for record in store.records))


def token_store() -> TokenStore:
    """Tokens of images: kept between runs in the cache folder, and the project's committed files of tokens."""
    return TokenStore(cache_folder(), files=committed_tokens())


def _put_scores_right(store: RunStore, plan: Plan, console: Console) -> None:
    """Scores records of an earlier command again, and writes those that do not follow from their replies."""
    found = rescore(store, {run.task.name: run.samples for run in plan.task_runs})
    if found.changed:
        store.correct(found.records, found.note, write=True)
        console.print(found.note, highlight=False, soft_wrap=True)


def _run(
    plan: Plan, backend: CachedBackend, context: ContextLimit, store: RunStore, usage: UsageFile, console: Console
) -> Sequence[ResultTable]:
    """Asks what is missing and reports; returns the tables."""
    try:
        if _missing(store, plan):
            _ask(plan, backend, context, store, usage, console)
        else:
            run_plan(plan, backend, store, context=context)  # nothing to ask: puts the records in order
    except BaseException as failure:
        # Whatever goes wrong in the report of a stopped run, the user sees why the run stopped.
        reporting: tuple[type[Exception], ...] = (*deliberate_errors(), OSError)
        try:
            _report(plan, store, console, complete=False)
        except reporting as error:
            log.warning("the report of the stopped run could not be written: %s", " ".join(str(error).split()))
        finally:
            raise failure
    return _report(plan, store, console, complete=True)


def _ask(
    plan: Plan, backend: CachedBackend, context: ContextLimit, store: RunStore, usage: UsageFile, console: Console
) -> None:
    """Asks what is missing, and shows how far it is."""

    def summarize() -> None:
        if usage.summary:
            console.print(usage.summary, highlight=False, soft_wrap=True)

    with at_end(usage.save, summarize), shown_progress(console, "samples", plan.count()) as advance:

        def done(count: int) -> None:
            advance(count)
            usage.tick()

        run_plan(plan, backend, store, done, context)


def _report(plan: Plan, store: RunStore, console: Console, *, complete: bool) -> Sequence[ResultTable]:
    """Examples and corpus metrics into the run's folder, then the reports, from its files alone; returns the tables.

    What a finished run's folder has of them already, made from the same files by the same code, is kept.
    """
    if not store.records:
        return ()
    if complete and (tables := kept_tables(store.folder)) is not None:
        return tables
    console.print("report: examples of images and prompts", highlight=False)
    save_examples(store.folder, make_examples(plan, store.records))
    if complete:
        _score_corpora(plan, store, console)
    console.print("report: intervals, tests and figures", highlight=False)
    return write_reports(store.folder).tables


def _score_corpora(plan: Plan, store: RunStore, console: Console) -> None:
    """Metrics of all replies together, for tasks that have some; prints those that cannot be computed here."""
    book = score_corpora(plan, store.records, lambda line: console.print(line, highlight=False))
    if book is not None:
        save_corpus(store.folder, book)
        for one in book.missing:
            console.print(f"no {one.metric}: {one.reason}", highlight=False, soft_wrap=True)


def check_scorings(config: RunConfig, model: Backend) -> None:
    """Fails before any image is encoded. Raises UsageError for a rule that needs log-likelihoods the model lacks."""
    if model.capabilities.likelihood:
        return
    for scoring in config.scorings:
        if scoring in RULES and RULES[scoring].asks == "likelihood":
            depends = find_backend(config.llm)[0].likelihood is None
            fix = " (or see `ls backends --verbose` for an --llm-args that changes this)" if depends else ""
            raise UsageError(
                f"--scoring {scoring} needs log-likelihoods, --llm {config.llm} gives none: "
                f"use --scoring exact, prefix or contains{fix}"
            )


def _stay_offline() -> None:
    """Makes the hub's client use what is on this machine: it reads this variable when it is first imported."""
    os.environ["HF_HUB_OFFLINE"] = "1"


def _open_store(options: RunOptions, plan: Plan, run: dict[str, Any], console: Console) -> RunStore:
    """The run's folder; resumes the run if it was started there.

    With --refresh-cache, a complete run in the folder that its hash names is restarted: the user wants new replies.
    A stopped one is resumed.
    """
    folder = options.out or RUNS / f"{'-'.join(plan.config.tasks)}-{sha256_json(run)[:10]}"
    try:
        store = RunStore.create(folder, run)
    except RunDiffers as error:
        SafeConsole(stderr=True).print(_difference_table(error.differences))
        raise
    if options.out is None and options.mode == "refresh" and not options.resume and not _missing(store, plan):
        return RunStore.restart(folder, run)
    if store.records:
        missing = _missing(store, plan)
        said = f"resuming, {missing} of {plan.count()} samples left" if missing else "complete, nothing to ask"
        console.print(f"{folder}: {said}", highlight=False, markup=False)
    return store


def _missing(store: RunStore, plan: Plan) -> int:
    """Samples that have no record yet, or one of a failed call."""
    return max(0, plan.count() - sum(record.id in store for record in store.records))


def _difference_table(found: Sequence[Difference]) -> Table:
    table = Table("field", "in the folder", "asked for")
    for one in found:
        table.add_row(*(Text(visible(short(text, 100))) for text in one))
    return table
