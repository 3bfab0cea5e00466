"""`run` and `report`: measure, and print what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from benchmarks.commands.given import given_path

if TYPE_CHECKING:
    from llm_backends.protocol import Identity


def run(
    task: Annotated[str, typer.Option(help="Task names, comma-separated (`ls tasks`).")],
    tokenizer: Annotated[
        str, typer.Option(help="Tokenizer names (`ls tokenizers`), folders written by train, or hf:OWNER/NAME.")
    ] = "spae,vqgan",
    llm: Annotated[
        str, typer.Option(help="Language model (`ls backends`); none for tasks that ask nothing.")
    ] = "smollm2",
    llm_args: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Option of the LLM backend (`ls backends --verbose`); repeatable."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Image set (`ls data`), class folders, a csv (filename,label) beside images/, a published archive "
            "(.tar.gz) or hf:NAME; class names from a file by ?classes=FILE.",
            show_default="the task's own",
        ),
    ] = None,
    setting: Annotated[
        str | None, typer.Option(help="Setting ids, comma-separated, such as i1-s1-r0.", show_default="all")
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            help="Layers shown to the LLM: 1-2; 1,3; several subsets: 1-2,1-3; or sweep: 1, 1-2, up to all.",
            show_default="1-2",
        ),
    ] = None,
    scoring: Annotated[
        str | None,
        typer.Option(
            help="Scoring rules, comma-separated (`ls tasks --json`). ranked is rank classification: the class with "
            "the highest log-likelihood.",
            show_default="ranked where the task has it",
        ),
    ] = None,
    prompt_style: Annotated[str, typer.Option(help="Prompt template: gpt or palm.")] = "gpt",
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Samples per setting.", show_default="200")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the sampled episodes.", show_default="0")
    ] = None,
    manifest: Annotated[
        list[Path] | None,
        typer.Option(
            help="Manifest of an earlier run (episodes-TASK.json) instead of new samples; one per task.",
            metavar="PATH",
            parser=given_path,
        ),
    ] = None,
    shuffle_images: Annotated[
        bool,
        typer.Option("--shuffle-images", help="Also run the control in which images swap their words."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for records and reports.", show_default="runs/TASK-HASH", metavar="PATH", parser=given_path
        ),
    ] = None,
    cache_only: Annotated[bool, typer.Option("--cache-only", help="Use stored replies only; fail on a miss.")] = False,
    refresh_cache: Annotated[
        bool, typer.Option("--refresh-cache", help="Ask the LLM again and replace stored replies.")
    ] = False,
    cache_file: Annotated[
        list[Path] | None,
        typer.Option(
            help="More stored replies (.jsonl or .sqlite), read-only; repeatable.", metavar="PATH", parser=given_path
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="With --refresh-cache: keep the records of a complete run in its folder."),
    ] = False,
    dtype: Annotated[str, typer.Option(help="Of a local LLM: float32, bfloat16 or float16.")] = "float32",
    device: Annotated[
        str, typer.Option(help="Of a local LLM: auto (first CUDA device, else CPU), cpu, cuda:1, mps.")
    ] = "auto",
    context_length: Annotated[
        int | None,
        typer.Option(
            min=2, metavar="N", help="Most tokens of prompt and reply together.", show_default="the model's own"
        ),
    ] = None,
) -> None:
    """Run tasks and write records, tables and a report.

    A run that was stopped resumes when the same command is given again.

    \b
    Examples:
      python -m benchmarks run --task miniimagenet-5way
      python -m benchmarks run --task miniimagenet-2way --data photos/ --tokenizer runs/train/spae
      python -m benchmarks run --task miniimagenet-2way --scoring exact --llm openai:my-model \\
        --llm-args base_url=http://localhost:8000/v1 --llm-args budget=200000tok
    """
    from benchmarks.arguments import check_key, check_names
    from benchmarks.errors import UsageError
    from llm_backends.local.loading import checked_device
    from llm_backends.options import split_pairs

    if prompt_style not in ("gpt", "palm"):
        raise UsageError(f"--prompt-style is gpt or palm, got {prompt_style!r}")
    if cache_only and refresh_cache:
        raise UsageError("--cache-only and --refresh-cache exclude each other: drop one")
    tasks, tokenizers = _names(task) or (), _names(tokenizer) or ()
    settings, scorings, options = _names(setting), _names(scoring), split_pairs(llm_args or ())
    check_names(
        tasks=tasks,
        tokenizers=tokenizers,
        data=data,
        settings=settings,
        layers=tuple(layers or ("1-2",)),
        scorings=scorings,
        paths=(*(manifest or ()), *(cache_file or ())),
    )
    checked_device(device)
    if not cache_only:
        check_key(llm, options, lambda model: bool(cache_file) or _stored(model))

    from benchmarks.session import RunOptions, run_benchmark  # after the checks: it imports what is heavy

    finished = run_benchmark(
        RunOptions(
            tasks=tasks,
            tokenizers=tokenizers,
            llm=llm,
            backend_options=options,
            data=data,
            settings=settings,
            layers=tuple(layers or ("1-2",)),
            scorings=scorings,
            prompt_style=cast("Literal['gpt', 'palm']", prompt_style),
            limit=limit,
            seed=seed,
            shuffle_images=shuffle_images,
            manifests=tuple(manifest or ()),
            dtype=dtype,
            device=device,
            out=out,
            mode="cache-only" if cache_only else "refresh" if refresh_cache else "normal",
            resume=resume,
            context_length=context_length,
            cache_files=tuple(cache_file or ()),
        )
    )
    if not finished.scored:
        typer.echo("error: nothing could be scored: the reasons are above and in the report", err=True)
        raise typer.Exit(1)


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="The --out of a run, or a baseline.", parser=given_path)
    ],
    format: Annotated[str, typer.Option(help="html, md or csv.")] = "md",
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Score the stored replies again; exit code 1 if a record or metric differs."),
    ] = False,
    cache_file: Annotated[
        list[Path] | None,
        typer.Option(
            help="With --verify: more stored replies, as of the run's own; repeatable.",
            metavar="PATH",
            parser=given_path,
        ),
    ] = None,
) -> None:
    """Print the report of a run.

    A record whose score does not follow from its reply is scored again first; the folder is not changed.

    \b
    Examples:
      python -m benchmarks report runs/demo --format html > report.html
      python -m benchmarks report runs/demo --verify
    """
    from contextlib import closing

    from benchmarks.errors import UsageError
    from benchmarks.reply_sources import read_only_sources, reply_store
    from benchmarks.rescoring import load_manifests, rescore, verify_scores
    from results.report.write import render
    from results.store import RunStore

    if format not in ("html", "md", "csv"):
        raise UsageError(f"--format is html, md or csv, got {format!r}")
    if cache_file and not verify:
        raise UsageError("--cache-file belongs to --verify: add it, or drop --cache-file")
    store = RunStore.open(folder)
    if verify:
        with closing(reply_store()) as replies:
            found = verify_scores(store, [replies, *read_only_sources(cache_file or ())])
    else:
        found = rescore(store, load_manifests(store))
    if found.changed:
        store.correct(found.records, found.note, write=False)
    typer.echo(render(store, cast("Literal['html', 'md', 'csv']", format)), nl=False)
    for line in found.lines if verify else ():
        typer.echo(line, err=True)
    if verify and found.differs:
        raise typer.Exit(1)


def _stored(model: Identity) -> bool:
    """Whether the user's own store holds replies of a model."""
    from contextlib import closing

    from benchmarks.reply_sources import reply_store

    with closing(reply_store()) as replies:
        return replies.holds(model)


def _names(text: str | None) -> tuple[str, ...] | None:
    """ "a,b" as ("a", "b"), without repeats."""
    if text is None:
        return None
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
