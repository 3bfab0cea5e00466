"""SPAE: images as pyramids of words from a frozen language model's vocabulary (arXiv 2306.17842)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spae.tokenizers.lexical import LexicalTokenizer
    from spae.tokenizers.video import VideoTokenizer

__version__ = "0.1.0"


def from_pretrained(source: str | Path, *, revision: str | None = None) -> LexicalTokenizer | VideoTokenizer:
    """A trained tokenizer of images, or of videos if it was trained on videos.

    Args:
        source: a folder that `python -m spae train` or `save_pretrained` wrote, or `owner/name` on the Hugging Face
            hub.
        revision: of a model on the hub: a branch, a tag or a commit.

    Raises:
        spae.errors.WeightsError: not found, or its files do not fit together.
    """
    # Imported here, so that `import spae` stays light.
    from spae.tokenizers.hub import pretrained_folder
    from spae.tokenizers.lexical import LexicalTokenizer
    from spae.tokenizers.model_folder import load_config
    from spae.tokenizers.video import VideoTokenizer

    folder = pretrained_folder(source, revision)
    kind = VideoTokenizer if load_config(folder).num_frames else LexicalTokenizer
    return kind.from_pretrained(folder)
