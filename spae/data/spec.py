"""How a recipe names its data: `SCHEME:LOCATION?option=value&option=value`.

    folder:/data/imagenet?classes=/data/LOC_synset_mapping.txt
    webdataset:/data/shards/train-{000..146}.tar
    hf:ylecun/mnist?split=train&image=image&label=label

Options follow the last `?`; a `?` that no `name=` follows belongs to the location (a pattern).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spae.errors import InputError, UnknownName

OPTIONS = re.compile(r"\?([a-z_]+=[^&?]*(?:&[a-z_]+=[^&?]*)*)$")


@dataclass(frozen=True)
class DataSpec:
    """A parsed spec.

    Attributes:
        text: as the user gave it.
        scheme: before the first colon.
        location: between the colon and the options; "" for none.
        options: by name.
    """

    text: str
    scheme: str
    location: str
    options: Mapping[str, str]

    def only(self, *names: str) -> None:
        """Raises UnknownName for any other option."""
        for name in self.options:
            if name not in names:
                raise UnknownName(f"option of {self.scheme}:", name, names or ("none",))

    def path(self, name: str) -> Path | None:
        """The option as a path."""
        return Path(self.options[name]) if self.options.get(name) else None

    def number(self, name: str, default: int, least: int = 1) -> int:
        """The option as a whole number. Raises InputError."""
        value = self.options.get(name, str(default))
        if not value.isascii() or not value.isdigit() or int(value) < least:
            raise InputError(f"{self.text}: {name} must be a whole number of at least {least}, got {value!r}")
        return int(value)

    def switch(self, name: str) -> bool:
        """The option as yes or no; the default is no. Raises InputError."""
        value = self.options.get(name, "no")
        if value not in ("yes", "no"):
            raise InputError(f"{self.text}: {name} must be yes or no, got {value!r}")
        return value == "yes"


def parse_data_spec(text: str) -> DataSpec:
    """Splits a spec. Raises InputError for an option given twice."""
    found = OPTIONS.search(text)
    rest = text[: found.start()] if found else text
    options: dict[str, str] = {}
    for part in found.group(1).split("&") if found else ():
        name, _, value = part.partition("=")
        if name in options:
            raise InputError(f"{text}: option {name} must be given once")
        options[name] = value
    scheme, _, location = rest.partition(":")
    return DataSpec(text, scheme, location, options)
