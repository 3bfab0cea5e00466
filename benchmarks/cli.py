"""`python -m benchmarks`: list what there is, run it, and report.

Everything heavy is imported inside the commands, so that `--help` and `ls` answer at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from benchmarks.cache_commands import cache
from benchmarks.regression_commands import baseline, check
from benchmarks.round_trip_command import round_trip
from benchmarks.validate_command import validate

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip

INTERRUPTED = 130
"""The exit code that typer makes of Ctrl-C."""


@app.callback()
def main() -> None:
    """How well can a frozen language model see through a visual tokenizer?"""


@app.command()
def ls(
    kind: Annotated[
        str | None, typer.Argument(help="tasks, tokenizers, backends or data; all of them by default.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List tasks, tokenizers, language models and image sets.

    Examples:

      python -m benchmarks ls

      python -m benchmarks ls tasks --json
    """
    from benchmarks.errors import UsageError
    from benchmarks.listing import KINDS, listing

    if kind is not None and kind not in KINDS:
        raise UsageError(f"ls takes one of {', '.join(KINDS)}, got {kind!r}")
    found = {name: listing(name) for name in ([kind] if kind else KINDS)}
    if json:
        import json as plain

        typer.echo(plain.dumps(found[kind] if kind else found, indent=2))
        return
    for name, entries in found.items():
        typer.echo(f"{name}:")
        width = max((len(entry["name"]) for entry in entries), default=0)
        for entry in entries:
            typer.echo(f"  {entry['name']:<{width}}  {entry['title']}")


def _list(text: str | None) -> tuple[str, ...] | None:
    """ "a,b" as ("a", "b"), without repeats."""
    if text is None:
        return None
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


@app.command()
def run(
    task: Annotated[str, typer.Option(help="Task names, by comma.")],
    tokenizer: Annotated[
        str, typer.Option(help="Tokenizer names, folders that train wrote, or hf:OWNER/NAME, by comma.")
    ] = "spae,vqgan",
    llm: Annotated[str, typer.Option(help="Language model: a name that `ls backends` shows.")] = "smollm2",
    data: Annotated[
        str | None,
        typer.Option(
            help="Data: a name that `ls data` shows, or a path: class folders, a csv (filename,label) beside images/, "
            "a published archive (.tar.gz), or hf:NAME; a file of class names by ?classes=FILE."
        ),
    ] = None,
    setting: Annotated[
        str | None, typer.Option(help="Setting ids by comma, for example i1-s1-r0; all by default.")
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            help="Layers whose words are shown: 1-2 (the default), 1,3, or several: 1-2,1-3; sweep: 1, 1-2, to all."
        ),
    ] = None,
    scoring: Annotated[
        str | None,
        typer.Option(
            help="Scoring rules by comma: ranked (likeliest class), or the published exact, prefix, contains; "
            "captions have rouge-l, and the metrics of COCO beside it.",
            show_default="ranked where the task has it",
        ),
    ] = None,
    prompt: Annotated[str, typer.Option(help="Prompt style: gpt or palm.")] = "gpt",
    limit: Annotated[int | None, typer.Option(min=1, help="Episodes a setting.", show_default="200")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the episodes.", show_default="0")] = None,
    episodes: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file episodes-TASK.json of an earlier run: its episodes, not new ones; one for each task."
        ),
    ] = None,
    shuffle_images: Annotated[
        bool,
        typer.Option(
            "--shuffle-images",
            help="Ask each question also with every image's words replaced by another image's: what a model "
            "knows without seeing.",
        ),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for records and reports; under runs/ by default.")] = None,
    cache_only: Annotated[bool, typer.Option("--cache-only", help="Use stored replies only; fail on a miss.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Ask the model even where a reply is stored.")] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on in the run's folder also with --live; without --live, that is what happens anyway."
        ),
    ] = False,
    dtype: Annotated[str, typer.Option(help="Arithmetic of a local model: float32, bfloat16 or float16.")] = "float32",
    device: Annotated[
        str, typer.Option(help="Of a local model: auto (the first CUDA device, else the processor), cpu, cuda:1, mps.")
    ] = "auto",
    replies: Annotated[
        list[Path] | None,
        typer.Option(
            "--replies",
            help="A file of replies (.jsonl or .sqlite) under your own store: read, never written; may be repeated.",
        ),
    ] = None,
    context_length: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens that prompt and reply may have together, where less than the model states."),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="For --llm openai:MODEL: the server, http(s)://HOST[:PORT]/PATH, the path often /v1. "
            "Else $OPENAI_BASE_URL, else OpenAI."
        ),
    ] = None,
    api: Annotated[
        str | None,
        typer.Option(
            help="completions, chat, or auto: chat where host and model are known to have no completions, "
            "else completions."
        ),
    ] = None,
    key_env: Annotated[
        str | None, typer.Option(help="Variable that holds the server's key.", show_default="OPENAI_API_KEY")
    ] = None,
    key_file: Annotated[Path | None, typer.Option(help="File of one line that holds the key, instead.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Calls at once, at most; fewer when the server says so.", show_default="8")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds for one call.", show_default="60")] = None,
    attempts: Annotated[
        int | None, typer.Option(help="Calls for one answer before it counts as failed.", show_default="6")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="The most that this command may spend: 5usd or 200000tok. It stops before, and can go on."),
    ] = None,
    price: Annotated[
        str | None, typer.Option(help="IN,OUT: dollars per million tokens of prompts and of replies.")
    ] = None,
    llm_tokenizer: Annotated[
        Path | None,
        typer.Option(help="Folder with the model's tokenizer.json, to count tokens for --context-length exactly."),
    ] = None,
    echo_logprobs: Annotated[
        bool,
        typer.Option(
            "--echo-logprobs", help="The server's completions echo a prompt's log-probabilities: allows ranked scoring."
        ),
    ] = False,
) -> None:
    """Run tasks and write records, tables and a report.

    Examples:

      python -m benchmarks run --task miniimagenet-5way

      python -m benchmarks run --task miniimagenet-2way,miniimagenet-5way --setting i1-s1-r0 --limit 20 --live

      python -m benchmarks run --task miniimagenet-2way --data photos/ --tokenizer runs/train/picto_spae

      python -m benchmarks run --task miniimagenet-2way --scoring exact --llm openai:my-model
      --base-url http://localhost:8000/v1 --budget 200000tok
    """
    from benchmarks.errors import UsageError
    from benchmarks.server import server_options
    from benchmarks.session import RunOptions, run_benchmark

    if prompt not in ("gpt", "palm"):
        raise UsageError(f"--prompt is gpt or palm, got {prompt!r}")
    if cache_only and live:
        raise UsageError("--cache-only and --live exclude each other: drop one")
    run_benchmark(
        RunOptions(
            tasks=_list(task) or (),
            tokenizers=_list(tokenizer) or (),
            llm=llm,
            data=data,
            settings=_list(setting),
            layers=tuple(layers or ("1-2",)),
            scorings=_list(scoring),
            prompt_style=cast("Literal['gpt', 'palm']", prompt),
            limit=limit,
            seed=seed,
            shuffle_images=shuffle_images,
            manifests=tuple(episodes or ()),
            dtype=dtype,
            device=device,
            out=out,
            mode="cache-only" if cache_only else "refresh" if live else "normal",
            resume=resume,
            context_length=context_length,
            cache_files=tuple(replies or ()),
            server=server_options(
                llm,
                base_url=base_url,
                api=api,
                key_env=key_env,
                key_file=key_file,
                concurrency=concurrency,
                timeout=timeout,
                attempts=attempts,
                budget=budget,
                price=price,
                llm_tokenizer=llm_tokenizer,
                echo_logprobs=echo_logprobs,
                context_length=context_length,
            ),
        )
    )


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The --out of a run.")],
    format: Annotated[str, typer.Option(help="html, md or csv.")] = "md",
) -> None:
    """Print the report of a run.

    Example: python -m benchmarks report runs/demo --format html > report.html
    """
    from benchmarks.errors import UsageError
    from results.report.write import render

    if format not in ("html", "md", "csv"):
        raise UsageError(f"--format is html, md or csv, got {format!r}")
    typer.echo(render(folder, format), nl=False)  # type: ignore[arg-type]


app.add_typer(cache, name="cache")


app.command()(baseline)
app.command()(check)
app.command()(round_trip)
app.command()(validate)


def run_command_line() -> None:
    """The program: deliberate errors become one line and exit code 2."""
    from benchmarks.errors import BenchmarkError

    try:
        app(prog_name="python -m benchmarks")
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            typer.echo("stopped; what was answered is kept: give the same command again to go on", err=True)
        raise
    except Exception as error:
        # The rooms' errors are looked up only now: importing them all costs what `ls` may not take.
        from benchmarks.errors import deliberate_errors

        if not isinstance(error, (BenchmarkError, *deliberate_errors())):
            raise
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(2)
