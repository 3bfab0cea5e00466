"""The facts of each recipe, parsed from its docstring without importing it: listing recipes needs no torch.

A recipe's docstring is a first line, then paragraphs or lines that begin with Source, Data, Cost, Expected and Command.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from spae.plugins import PluginFault, plugin_code
from spae.training.recipes import targets

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
    """The facts of every recipe, in listing order; those that the recipe of another package leaves out are ""."""
    found = {}
    for name, target in targets().items():
        module, _, attribute = target.partition(":")
        found[name] = _facts(name, _docstrings(module).get(attribute, ""))
    return found


@cache
def _docstrings(module: str) -> dict[str, str]:
    """The docstrings of a module's functions, by name; the module itself is not imported, only the package it is in."""
    try:
        with plugin_code():
            spec = importlib.util.find_spec(module)
            tree = ast.parse(b"" if spec is None or spec.origin is None else Path(spec.origin).read_bytes())
    except PluginFault:  # said by `get_recipe`, which is asked for this one recipe
        return {}
    return {node.name: ast.get_docstring(node) or "" for node in tree.body if isinstance(node, ast.FunctionDef)}


def _facts(name: str, text: str) -> RecipeFacts:
    parts = re.split(rf"^({'|'.join(FACTS)}): ", text, flags=re.MULTILINE)
    facts = {key: " ".join(value.split()) for key, value in zip(parts[1::2], parts[2::2], strict=True)}
    return RecipeFacts(name, " ".join(parts[0].split()), *(facts.get(key, "") for key in FACTS))
