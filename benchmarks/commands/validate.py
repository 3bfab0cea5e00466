"""`validate`: check a task's data before a run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.validate import Findings

SHOWN = 20


def validate(
    task: Annotated[str, typer.Option(help="A task (`ls tasks`).")],
    data: Annotated[str | None, typer.Option(help="As of `run`.", show_default="the task's own")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with every issue.")] = False,
) -> None:
    """Read all data of a task and name every issue.

    Nothing is written. Exit code 0 if there is no issue, else 2.

    \b
    Examples:
      python -m benchmarks validate --task miniimagenet-5way --data miniimagenet/test.csv
      python -m benchmarks validate --task miniimagenet-2way --data open_ended_mi.tar.gz --json
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    from benchmarks.validate import survey_data
    from spae.console import SafeConsole, SafeProgress

    console = SafeConsole(stderr=True)
    with SafeProgress(
        TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[issues]} issues"), console=console, transient=True,
        disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        shown = bar.add_task("", total=None, issues=0)
        issues = 0

        def add_issue(_: object) -> None:
            nonlocal issues
            issues += 1
            bar.update(shown, issues=issues)

        def show_progress(read: int, total: int) -> None:
            bar.update(shown, completed=read, total=max(total, read) or None)

        found = survey_data(task, data, show_progress, add_issue)
    if json:
        from json import dumps

        typer.echo(dumps(found.plain(), indent=2))
    else:
        _print(found)
    if found.issues:
        sys.exit(2)


def _print(found: Findings) -> None:
    from results.display import one_line

    typer.echo(one_line(f"{found.data}: {found.title}"))
    for name, count in found.counts.items():
        typer.echo(f"  {name}: {count:,}")
    if found.settings:
        typer.echo(f"  feasible settings: {', '.join(found.settings)}")
    for reason in dict.fromkeys(found.infeasible.values()):
        settings = ", ".join(setting for setting, why in found.infeasible.items() if why == reason)
        if found.settings:
            typer.echo(one_line(f"  not feasible: {settings}: {reason}"))
    if not found.issues:
        typer.echo("no issue found")
        return
    for issue in found.issues[:SHOWN]:
        typer.echo(one_line(issue.line), err=True)
    more = len(found.issues) - SHOWN
    rest = f", {more:,} of them not shown: --json lists all" if more > 0 else ""
    typer.echo(f"error: issues: {len(found.issues):,}, in files: {len(found.by_file):,}{rest}", err=True)
