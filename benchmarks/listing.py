"""What there is to run, for `ls`: registries only, nothing heavy is imported."""

from __future__ import annotations

from typing import Any

KINDS = ("tasks", "tokenizers", "backends", "data")


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
    from spae.data.registry import SETS

    return [
        {"name": entry.name, "title": entry.title, "embedded": entry.embedded, "needs": entry.needs}
        for entry in SETS.values()
    ]
