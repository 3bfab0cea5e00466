"""`ls`: what there is to run, read from the registries; nothing heavy is imported."""

from __future__ import annotations

from typing import Annotated, Any

import typer

KINDS = ("tasks", "tokenizers", "backends", "data", "metrics")


def ls(
    kind: Annotated[
        str | None, typer.Argument(help=f"{', '.join(KINDS[:-1])} or {KINDS[-1]}; all of them by default.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With backends: the options that --llm-args sets, described.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what there is to run.

    Tasks, tokenizers, language models (backends), image sets (data) and metrics.

    \b
    Examples:
      python -m benchmarks ls
      python -m benchmarks ls tasks --json
      python -m benchmarks ls backends --verbose
    """
    from benchmarks.errors import UsageError

    if kind is not None and kind not in KINDS:
        raise UsageError(f"ls takes one of {', '.join(KINDS)}, got {kind!r}")
    if verbose and kind != "backends":
        raise UsageError("--verbose describes the options of backends: write `ls backends --verbose`")
    found = {name: listing(name) for name in ([kind] if kind else KINDS)}
    if verbose:
        for entry in found["backends"]:
            entry["options"] = _options(entry["name"])
    if json:
        from json import dumps

        typer.echo(dumps(found[kind] if kind else found, indent=2))
        return
    for name, entries in found.items():
        typer.echo(f"{name}:")
        width = max((len(entry["name"]) for entry in entries), default=0)
        for entry in entries:
            typer.echo(f"  {entry['name']:<{width}}  {entry['title']}")
            for option in entry.get("options", ()):
                default = f" (default: {option['default']})" if option["default"] else ""
                typer.echo(f"      {option['name']}: {option['description']}{default}")


def listing(kind: str) -> list[dict[str, Any]]:
    """The entries of one registry as plain values, `name` and `title` first."""
    if kind == "tasks":
        from tasks.registry import entries

        return [
            {
                "name": task.name,
                "title": task.title,
                "paper": task.paper_table,
                "settings": list(task.settings),
                "scoring": list(task.scorings),
                "data": task.default_data,
            }
            for task in entries().values()
        ]
    if kind == "tokenizers":
        from spae.tokenizers.registry import entries as tokenizers

        return [
            {"name": entry.name, "title": entry.title, "paper": entry.paper, "needs": entry.needs}
            for entry in tokenizers().values()
        ]
    if kind == "backends":
        from llm_backends.registry import list_backends

        return [
            {"name": entry.spelling, "title": entry.title, "likelihood": entry.likelihood, "needs": entry.needs}
            for entry in list_backends().values()
        ]
    if kind == "metrics":
        from spae.metrics.registry import entries as metrics

        return [{"name": entry.name, "title": entry.title} for entry in metrics().values()]
    from spae.data.registry import SETS

    return [
        {"name": entry.name, "title": entry.title, "embedded": entry.embedded, "needs": entry.needs}
        for entry in SETS.values()
    ]


def _options(spelling: str) -> list[dict[str, str]]:
    """The options of one backend; imports its options' model (pydantic)."""
    from dataclasses import asdict

    from llm_backends.options import list_options
    from llm_backends.registry import list_backends

    entry = next(entry for entry in list_backends().values() if entry.spelling == spelling)
    return [asdict(option) for option in list_options(entry)]
