"""The facts of each recipe, parsed from its docstring without importing it: listing recipes needs no torch.

A recipe's docstring is a first line, then paragraphs or lines that begin with Source, Data, Cost, Expected and Command.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from spae.training.recipes import MODULES, RECIPES

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
    found: dict[str, str] = {}
    for module in MODULES:
        tree = ast.parse(Path(__file__).with_name(f"{module}.py").read_text("utf-8"))
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in RECIPES]
        found |= {node.name: ast.get_docstring(node) or "" for node in functions}
    return {name: _facts(name, found[name]) for name in RECIPES}


def _facts(name: str, text: str) -> RecipeFacts:
    parts = re.split(rf"^({'|'.join(FACTS)}): ", text, flags=re.MULTILINE)
    facts = {key: " ".join(value.split()) for key, value in zip(parts[1::2], parts[2::2], strict=True)}
    return RecipeFacts(name, " ".join(parts[0].split()), *(facts[key] for key in FACTS))
