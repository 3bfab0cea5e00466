"""Options of a backend, from `--llm-args NAME=VALUE` to one validated value."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, get_args, get_origin

from pydantic import ValidationError

from llm_backends.errors import BackendInputError, BackendUnavailable
from spae.canonical import Frozen


class Configurable(Protocol):
    """The part of a registry entry that options need."""

    @property
    def name(self) -> str:
        """Of the backend."""
        ...

    @property
    def spelling(self) -> str:
        """How to write it on the command line."""
        ...

    @property
    def options(self) -> str:
        """`module:Model`, or empty for no options."""
        ...


class NoOptions(Frozen):
    """The options of a backend that takes none."""


@dataclass(frozen=True)
class OptionFact:
    """One option, for `ls backends --verbose`.

    Attributes:
        default: as a user would write it; "" for none.
    """

    name: str
    description: str
    default: str


def options_model(entry: Configurable) -> type[Frozen]:
    """The pydantic model of a backend's options, imported now.

    Raises:
        BackendUnavailable: it cannot be imported.
    """
    if not entry.options:
        return NoOptions
    module, _, attribute = entry.options.partition(":")
    try:
        model: type[Frozen] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise BackendUnavailable(
            f"options of backend {entry.name!r} do not load ({error}): reinstall the package that adds it"
        ) from error
    return model


def list_options(entry: Configurable) -> list[OptionFact]:
    """What `--llm-args` can set for a backend. Raises BackendUnavailable as `options_model`."""
    facts = []
    model = options_model(entry)
    groups = _groups(model)
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=False)
        shown = "" if field.is_required() or field.default_factory or default in (None, {}) else str(default)
        facts.append(OptionFact(_spelling(name, groups), field.description or "", shown))
    return facts


def _groups(model: type[Frozen]) -> set[str]:
    """The options that hold values of any name, and are written GROUP.NAME=VALUE."""
    kinds = {name: field.annotation for name, field in model.model_fields.items()}
    return {name for name, kind in kinds.items() if dict in (get_origin(kind), *map(get_origin, get_args(kind)))}


def _spelling(name: str, groups: set[str]) -> str:
    return f"{name}.NAME" if name in groups else name


def split_pairs(texts: Sequence[str]) -> dict[str, str]:
    """["a=1", "body.x-y=2"] as {"a": "1", "body.x-y": "2"}; in names of options "-" is "_".

    Raises:
        BackendInputError: a text without "=", or a name given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        option, dot, member = name.strip().partition(".")
        name = option.replace("-", "_") + dot + member
        if not equals or not name:
            raise BackendInputError(f"--llm-args takes NAME=VALUE, got {text!r}: see `ls backends --verbose`")
        if name in found:
            raise BackendInputError(f"--llm-args takes each name once, got {name} twice: drop one")
        found[name] = value
    return found


def parse_options(entry: Configurable, pairs: Mapping[str, str]) -> Frozen:
    """Checks options given as text.

    Args:
        entry: whose options they are.
        pairs: name -> value, as on the command line; GROUP.NAME for a member of an option that holds several.

    Raises:
        BackendInputError: an option is unknown (names the known ones), a value is wrong, or two exclude each other.
        BackendUnavailable: as `options_model`.
    """
    model = options_model(entry)
    groups = _groups(model)
    known = [_spelling(name, groups) for name in model.model_fields]
    values: dict[str, Any] = {}
    for name, value in pairs.items():
        group, _, member = name.partition(".")
        if group in groups and member:
            values.setdefault(group, {})[member] = value
        elif name in model.model_fields and name not in groups:
            values[name] = value
        else:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            takes = f"known: {', '.join(known)}" if known else "it takes none"
            raise BackendInputError(f"--llm {entry.spelling} has no option {name!r}: {hint}{takes}")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        reason = first["msg"][0].lower() + first["msg"][1:]
        raise BackendInputError(f"--llm-args {name}={first['input']} is not valid for {entry.name}: {reason}") from None
