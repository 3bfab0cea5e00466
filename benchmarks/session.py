"""One `run` from options to report: plan, model behind the cache, store, progress, examples, tables."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from benchmarks.config import RunConfig
from benchmarks.corpus import score_corpora
from benchmarks.errors import UsageError, deliberate_errors
from benchmarks.examples import make_examples
from benchmarks.manifests import SavedSamples
from benchmarks.plan import Plan, default_scorings, make_plan
from benchmarks.reply_sources import read_only_sources, reply_store
from benchmarks.runner import run_plan
from benchmarks.token_files import committed_tokens
from benchmarks.usage import UsageFile
from llm_backends.cache.cached_backend import CachedBackend, CacheMode
from llm_backends.context import ContextLimit
from llm_backends.protocol import Backend, Capabilities, Closes, Identity
from llm_backends.registry import find_backend, open_backend
from results.analysis.corpus import save_corpus
from results.analysis.tables import ResultTable
from results.differences import Difference, short
from results.display import visible
from results.errors import RunDiffers
from results.report.example import save_examples
from results.report.table_formats import to_rich
from results.report.write import write_reports
from results.store import RunStore
from spae.cache_folder import cache_folder
from spae.canonical import sha256_json
from spae.console import SafeConsole, SafeProgress
from spae.plugins import PluginFault, check_members, is_ours
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


def run_benchmark(options: RunOptions) -> Path:
    """Runs, reports and prints the tables; returns the run's folder.

    Raises:
        BenchmarkError, SpaeError, TaskError, BackendError, ResultsError: see each room.
    """
    console = SafeConsole()
    config = options.config()
    find_backend(config.llm)  # fail on an unknown model before reading any image
    tokens = token_store()
    plan = make_plan(config, options.saved, tokens)
    sources = read_only_sources(options.cache_files)  # fail on a broken file before opening a model
    if options.mode == "cache-only":
        _stay_offline()
    inner = open_backend(config.llm, dtype=config.dtype, device=options.device, options=options.backend_options)
    check_backend(config, inner)
    check_scorings(config, inner)
    replies = reply_store()
    backend = CachedBackend(lambda: inner, inner.identity, replies, sources, options.mode)
    context = ContextLimit(inner, config.context_length)
    store = _open_store(options, plan, plan.run_config(inner.identity, context.limit), console)
    for run in plan.task_runs:
        run.samples.save(store.folder / f"episodes-{run.task.name}.json")
        console.print(f"{run.task.name} on {run.data.title}", highlight=False, markup=False)
    usage = UsageFile(store, inner)
    try:
        _run(plan, backend, context, store, usage, console)
    except BaseException as failure:
        # Whatever goes wrong in the report of a stopped run, the user sees why the run stopped.
        reporting: tuple[type[Exception], ...] = (*deliberate_errors(), OSError)
        try:
            _report(plan, store, console, complete=False)
        except reporting as error:
            log.warning("the report of the stopped run could not be written: %s", error)
        finally:
            raise failure
    else:
        tables = _report(plan, store, console, complete=True)
    finally:
        replies.close()
        tokens.close()
        if isinstance(inner, Closes):
            inner.close()
    for table in tables:
        console.print(to_rich(table))
    cached = sum(call.cached for call in store.calls)
    console.print(f"{len(store.records)} records, {cached} from stored replies", highlight=False)
    console.print(f"report: {store.folder / 'report.html'}", highlight=False, soft_wrap=True)
    return store.folder


def token_store() -> TokenStore:
    """Tokens of images: kept between runs in the cache folder, and the project's committed files of tokens."""
    return TokenStore(cache_folder(), files=committed_tokens())


def _run(
    plan: Plan, backend: CachedBackend, context: ContextLimit, store: RunStore, usage: UsageFile, console: Console
) -> None:
    """Asks what is missing, under a progress bar."""
    try:
        with _progress(console) as progress:
            bar = progress.add_task("samples", total=plan.count())

            def advance(count: int) -> None:
                progress.advance(bar, count)
                usage.tick()

            run_plan(plan, backend, store, advance, context)
    finally:
        usage.save()
        if usage.summary:
            console.print(usage.summary, highlight=False, markup=False, soft_wrap=True)


def _report(plan: Plan, store: RunStore, console: Console, *, complete: bool) -> Sequence[ResultTable]:
    """Examples and corpus metrics into the run's folder, then the reports, from its files alone; returns the tables."""
    if not store.records:
        return ()
    save_examples(store.folder, make_examples(plan, store.records))
    if complete:
        _score_corpora(plan, store, console)
    return write_reports(store.folder).tables


def _score_corpora(plan: Plan, store: RunStore, console: Console) -> None:
    """Metrics of all replies together, for tasks that have some; prints those that cannot be computed here."""
    book = score_corpora(plan, store.records, lambda line: console.print(line, highlight=False, markup=False))
    if book is not None:
        save_corpus(store.folder, book)
        for one in book.missing:
            console.print(f"no {one.metric}: {one.reason}", highlight=False, markup=False, soft_wrap=True)


def check_backend(config: RunConfig, model: Backend) -> None:
    """Raises UsageError for a plug-in that is no backend."""
    if is_ours(model):
        return
    try:
        check_members(model, Backend)
        for part, kind in (("identity", Identity), ("capabilities", Capabilities)):
            if not isinstance(found := getattr(model, part), kind):
                raise PluginFault(f"its {part} must be a {kind.__name__}, got {type(found).__name__}")
    except PluginFault as fault:
        raise UsageError(f"--llm {config.llm} cannot be used: {fault}") from fault


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


def _progress(console: Console) -> Progress:
    return SafeProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
