"""`python -m benchmarks validate`: nothing heavy is imported until it runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.validate import Findings

SHOWN = 20


def validate(
    task: Annotated[str, typer.Option(help="Name of a task, as `ls tasks` shows it.")],
    data: Annotated[
        str | None, typer.Option(help="Data, as `run` takes them; the task's own by default.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with every problem.")] = False,
) -> None:
    """Read the data of a task whole, count them and name every problem; write nothing.

    Exit code 0 where there is no problem, else 2.

    Examples:

      python -m benchmarks validate --task miniimagenet-5way --data miniimagenet/test.csv

      python -m benchmarks validate --task miniimagenet-2way --data open_ended_mi.tar.gz --json
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from benchmarks.validate import findings

    console = Console(stderr=True)
    with Progress(
        TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[problems]} problems"), console=console, transient=True,
        disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        shown = bar.add_task("", total=None, problems=0)
        problems = 0

        def met(_: object) -> None:
            nonlocal problems
            problems += 1
            bar.update(shown, problems=problems)

        found = findings(
            task, data, lambda read, total: bar.update(shown, completed=read, total=max(total, read) or None), met
        )
    if json:
        import json as plain

        typer.echo(plain.dumps(found.plain(), indent=2))
    else:
        _tell(found)
    if found.faults:
        sys.exit(2)


def _tell(found: Findings) -> None:
    from results.display import one_line

    typer.echo(one_line(f"{found.data}: {found.title}"))
    for name, count in found.counts.items():
        typer.echo(f"  {name}: {count:,}")
    if found.settings:
        typer.echo(f"  settings that it can give: {', '.join(found.settings)}")
    for reason in dict.fromkeys(found.lacking.values()):
        settings = ", ".join(setting for setting, why in found.lacking.items() if why == reason)
        if found.settings:
            typer.echo(one_line(f"  not {settings}: {reason}"))
    if not found.faults:
        typer.echo("no problem found")
        return
    for fault in found.faults[:SHOWN]:
        typer.echo(one_line(fault.line), err=True)
    more = len(found.faults) - SHOWN
    rest = f", {more:,} of them not shown: --json lists all" if more > 0 else ""
    typer.echo(f"error: problems: {len(found.faults):,}, in files: {len(found.by_file):,}{rest}", err=True)
