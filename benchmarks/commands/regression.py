"""`baseline` and `check`: keep what a run gave, and hold later code to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.commands.given import given_path

BASELINES = Path("results") / "baselines"
LOG_WIDTH = 140
"""Characters of a table where the output is not a terminal."""


def baseline(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The --out of a complete run.", parser=given_path)],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The baseline's folder.",
            show_default="results/baselines/NAME-OF-RUN",
            metavar="PATH",
            parser=given_path,
        ),
    ] = None,
    cache_file: Annotated[
        list[Path] | None,
        typer.Option(
            help="More stored replies, as of the run's own; repeatable.",
            metavar="PATH",
            parser=given_path,
        ),
    ] = None,
) -> None:
    """Keep a run to check later code against it.

    The folder is small enough to commit and to review.

    \b
    Example:
      python -m benchmarks baseline runs/demo --out results/baselines/demo
    """
    from benchmarks.regression import LARGE, make_baseline

    folder = out or BASELINES / Path(os.path.realpath(run)).name
    size = make_baseline(run, folder, cache_file or ())
    typer.echo(f"baseline of {size:,} bytes written to {folder}: check it with python -m benchmarks check {folder}")
    if size > LARGE:
        typer.echo(f"{size:,} bytes are hard to review: run fewer --limit", err=True)


def check(
    folder: Annotated[
        Path, typer.Argument(metavar="BASELINE", help="A folder written by `baseline`.", parser=given_path)
    ],
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the result as JUnit XML.", parser=given_path)
    ] = None,
) -> None:
    """Repeat a baseline's run and name what drifted.

    Its own replies are the only ones used: no model is asked and nothing is downloaded. Exit code 0: equal, 1:
    something drifted, 2: the run cannot be repeated.

    \b
    Example:
      python -m benchmarks check results/baselines/embedded --junit check.xml
    """
    from benchmarks.regression import check_baseline, print_check, write_junit
    from spae.console import SafeConsole

    checked = check_baseline(folder)
    console = SafeConsole()
    print_check(checked, console if console.is_terminal else SafeConsole(width=max(console.width, LOG_WIDTH)))
    if junit is not None:
        write_junit(checked, junit)
    if checked.drifts:
        raise typer.Exit(1)
