"""The facts of each recipe, parsed from its docstring without importing it: listing recipes needs no torch.

A recipe's docstring is a first line, then paragraphs or lines that begin with Source, Data, Cost, Expected and Command.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from spae.training.recipes import recipe_targets

FACTS = ("Source", "Data", "Cost", "Expected", "Command")


@dataclass(frozen=True)
class RecipeFacts:
    """A recipe's docstring.

    Attributes:
        name: the recipe's name.
        title: its first line.
        source: section or table of the paper.
        data: the training data and the setting that names it.
        cost: steps, time, machine.
        expected: the figures to compare with.
        command: the command that trains it.
    """

    name: str
    title: str
    source: str
    data: str
    cost: str
    expected: str
    command: str


def catalog() -> dict[str, RecipeFacts]:
    """The facts of every recipe, in listing order."""
    found: dict[str, RecipeFacts] = {}
    docstrings: dict[str, dict[str, str]] = {}
    for name, target in recipe_targets().items():
        module, _, function = target.partition(":")
        if module not in docstrings:
            docstrings[module] = _docstrings(module)
        found[name] = _facts(name, docstrings[module].get(function, ""))
    return found


def _docstrings(module: str) -> dict[str, str]:
    """Function -> docstring of a module that is not imported; of a plug-in whose source is not found: none."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return {}
    if spec is None or spec.origin is None:
        return {}
    tree = ast.parse(Path(spec.origin).read_text("utf-8"))
    return {node.name: ast.get_docstring(node) or "" for node in tree.body if isinstance(node, ast.FunctionDef)}


def _facts(name: str, text: str) -> RecipeFacts:
    parts = re.split(rf"^({'|'.join(FACTS)}): ", text, flags=re.MULTILINE)
    facts = {key: " ".join(value.split()) for key, value in zip(parts[1::2], parts[2::2], strict=True)}
    return RecipeFacts(name, " ".join(parts[0].split()), *(facts.get(key, "not stated") for key in FACTS))
