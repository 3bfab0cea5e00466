"""`baseline` and `check`: hold the code to what a run once gave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BASELINES = Path("results") / "baselines"
LOG_WIDTH = 140
"""Characters of a table where the output is no terminal."""


def baseline(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The --out of a complete run.")],
    out: Annotated[
        Path | None, typer.Option(help="The baseline's folder; by default results/baselines/ and the run's name.")
    ] = None,
    replies: Annotated[
        list[Path] | None, typer.Option(help="One more file of replies to take from, as the run's own; repeatable.")
    ] = None,
) -> None:
    """Write what a run gave as a small folder: to commit, to review, and to check against.

    Example: python -m benchmarks baseline runs/demo --out results/baselines/demo
    """
    from benchmarks.baseline import LARGE, make_baseline

    folder = out or BASELINES / run.resolve().name
    size = make_baseline(run, folder, replies or ())
    typer.echo(f"baseline of {size:,} bytes written to {folder}: check it with python -m benchmarks check {folder}")
    if size > LARGE:
        typer.echo(f"a baseline is there to be reviewed, {size:,} bytes are hard to: run fewer --limit", err=True)


def check(
    folder: Annotated[Path, typer.Argument(metavar="BASELINE", help="A folder that `baseline` wrote.")],
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result as JUnit XML, too.")] = None,
) -> None:
    """Make a baseline's run again from its own replies; exit code 1 where anything differs, 2 where it cannot be made.

    Nothing is downloaded, no model is asked and no other stored reply is used.

    Example: python -m benchmarks check results/baselines/embedded --junit check.xml
    """
    from rich.console import Console

    from benchmarks.check import check_baseline, print_check, write_junit

    checked = check_baseline(folder)
    console = Console()
    print_check(checked, console if console.is_terminal else Console(width=max(console.width, LOG_WIDTH)))
    if junit is not None:
        write_junit(checked, junit)
    if checked.drifts:
        raise typer.Exit(1)
