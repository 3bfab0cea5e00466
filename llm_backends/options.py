"""Options of a backend, from `--llm-args NAME=VALUE` to one validated value."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import ValidationError

from llm_backends.errors import BackendInputError, BackendUnavailable
from spae.canonical import Frozen
from spae.plugins import PluginFault, load_target


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
    try:
        model = load_target(entry.options)
    except PluginFault as fault:
        raise BackendUnavailable(
            f"options of backend {entry.name!r} do not load ({fault}): reinstall the package that adds it"
        ) from fault
    if not (isinstance(model, type) and issubclass(model, Frozen)):
        raise BackendUnavailable(
            f"options of backend {entry.name!r} must be a subclass of spae.canonical.Frozen, {entry.options} is "
            f"{model!r:.60}: reinstall the package that adds it"
        )
    return model


def list_options(entry: Configurable) -> list[OptionFact]:
    """What `--llm-args` can set for a backend. Raises BackendUnavailable as `options_model`."""
    facts = []
    for name, field in options_model(entry).model_fields.items():
        default = field.get_default(call_default_factory=False)
        shown = "" if field.is_required() or field.default_factory or default is None else str(default)
        facts.append(OptionFact(name, field.description or "", shown))
    return facts


def parse_options(entry: Configurable, pairs: Mapping[str, str]) -> Frozen:
    """Checks options given as text.

    Args:
        entry: whose options they are.
        pairs: name -> value, as on the command line.

    Raises:
        BackendInputError: an option is unknown (names the known ones), a value is wrong, or two exclude each other.
        BackendUnavailable: as `options_model`.
    """
    model = options_model(entry)
    known = list(model.model_fields)
    for name in pairs:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            takes = f"known: {', '.join(known)}" if known else "it takes none"
            raise BackendInputError(f"--llm {entry.spelling} has no option {name!r}: {hint}{takes}")
    try:
        return model.model_validate(dict(pairs))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        reason = first["msg"][0].lower() + first["msg"][1:]
        raise BackendInputError(f"--llm-args {name}={first['input']} is not valid for {entry.name}: {reason}") from None
