"""The accuracies that the paper prints for tasks of this project: Tables 1, 3 and 5 of arXiv 2306.17842."""

from __future__ import annotations

import csv
from collections.abc import Collection
from functools import cache
from importlib.resources import files

from pydantic import Field

from results.errors import ReportError
from spae.canonical import Frozen

METRICS = {"accuracy_percent": "accuracy"}
"""The file's metrics that are shown beside a task's own -> the task's name for it."""
TABLES = {"1", "3", "5"}
DATA = {"real-fast-vqa": "Real-Fast-VQA"}
"""The data of a task's numbers in the paper; mini-ImageNet for the others."""


def caption(task: str, scorings: Collection[str] = ()) -> str:
    """The line over the paper's rows for `task`.

    Args:
        task: name in the task registry.
        scorings: the rules of the rows above it; the paper scores free text.
    """
    data = DATA.get(task, "mini-ImageNet")
    ranked = "; the paper scores free text, ranked is the likeliest of the candidates" if "ranked" in scorings else ""
    return f"From the paper, on {data} with other language models: not comparable with the rows above{ranked}"


class PaperRow(Frozen):
    """One row of a table of the paper."""

    table: int = Field(description="number of the table")
    task: str = Field(description="name in the task registry")
    method: str = Field(description="as in the data file: 'SPAE_PaLM'")
    layers: int | None = Field(description="layers 1 to this one are shown to the LLM; None where it has none")
    tokens: int | None = Field(description="tokens per image; None where the paper gives none")
    model: str = Field(description="the LLM, as the paper names it")
    metric: str = Field(description="name of the metric, as tasks name it")
    percent: dict[str, float | None] = Field(description="value by setting id; None where the paper prints none")

    @property
    def title(self) -> str:
        """The method for a reader: 'SPAE (PaLM, disjoint)'."""
        name, *variant = self.method.split("_")
        return f"{name} ({', '.join(variant)})" if variant else name


@cache
def paper_rows(task: str) -> tuple[PaperRow, ...]:
    """The rows of the three tables for `task`, in the paper's order; none for a task that they do not have.

    Raises:
        ReportError: the data file is damaged.
    """
    rows: dict[tuple[str, ...], dict[str, float | None]] = {}
    text = files("results").joinpath("paper_results.csv").read_text(encoding="utf-8")
    for number, line in enumerate(csv.DictReader(text.splitlines()), start=2):
        try:
            if line["task"] != task or line["metric"] not in METRICS or line["table"] not in TABLES:
                continue
            key = (line["table"], line["method"], line["layers"], line["tokens"], line["llm"], METRICS[line["metric"]])
            rows.setdefault(key, {})[line["setting"]] = float(line["value"]) if line["value"] else None
        except (KeyError, ValueError, TypeError) as error:
            raise ReportError(f"paper_results.csv line {number} cannot be read ({error!r}): reinstall") from error
    return tuple(
        PaperRow(table=int(table), task=task, method=method, layers=_count(layers), tokens=_count(tokens), model=model,
                 metric=metric, percent=percent)
        for (table, method, layers, tokens, model, metric), percent in rows.items()
    )  # fmt: skip


def _count(text: str) -> int | None:
    return int(text) if text.isdigit() else None
