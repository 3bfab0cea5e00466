"""`run` and `report`: measure, and print what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast

import typer


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
        typer.Option(help="Manifest of an earlier run (episodes-TASK.json) instead of new samples; one per task."),
    ] = None,
    shuffle_images: Annotated[
        bool,
        typer.Option("--shuffle-images", help="Also run the control in which images swap their words."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for records and reports.", show_default="runs/TASK-HASH")
    ] = None,
    cache_only: Annotated[bool, typer.Option("--cache-only", help="Use stored replies only; fail on a miss.")] = False,
    refresh_cache: Annotated[
        bool, typer.Option("--refresh-cache", help="Ask the LLM again and replace stored replies.")
    ] = False,
    cache_file: Annotated[
        list[Path] | None,
        typer.Option(help="More stored replies (.jsonl or .sqlite), read-only; repeatable."),
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
    from benchmarks.errors import UsageError
    from benchmarks.session import RunOptions, run_benchmark
    from llm_backends.options import split_pairs

    if prompt_style not in ("gpt", "palm"):
        raise UsageError(f"--prompt-style is gpt or palm, got {prompt_style!r}")
    if cache_only and refresh_cache:
        raise UsageError("--cache-only and --refresh-cache exclude each other: drop one")
    run_benchmark(
        RunOptions(
            tasks=_names(task) or (),
            tokenizers=_names(tokenizer) or (),
            llm=llm,
            backend_options=split_pairs(llm_args or ()),
            data=data,
            settings=_names(setting),
            layers=tuple(layers or ("1-2",)),
            scorings=_names(scoring),
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


def report(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The --out of a run, or a baseline.")],
    format: Annotated[str, typer.Option(help="html, md or csv.")] = "md",
) -> None:
    """Print the report of a run.

    Example:

      python -m benchmarks report runs/demo --format html > report.html
    """
    from benchmarks.errors import UsageError
    from results.report.write import render

    if format not in ("html", "md", "csv"):
        raise UsageError(f"--format is html, md or csv, got {format!r}")
    typer.echo(render(folder, cast("Literal['html', 'md', 'csv']", format)), nl=False)


def _names(text: str | None) -> tuple[str, ...] | None:
    """ "a,b" as ("a", "b"), without repeats."""
    if text is None:
        return None
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
