"""The project's committed files of tokens, and how they are made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spae.data.protocol import ImageSet
from spae.tokenizers.codec import BATCH
from spae.tokenizers.protocol import Tokenizer
from spae.tokenizers.store import image_sha256
from spae.tokenizers.token_file import TokenFile, write_token_file
from spae.tokens import ImageTokens

COMMITTED = Path(__file__).parent.parent / "results" / "tokens"


def committed_tokens() -> list[TokenFile]:
    """The project's files of tokens: of the embedded images, by the tokenizers that the main job compares."""
    return [TokenFile(path) for path in sorted(COMMITTED.glob("*.safetensors"))]


def image_ids(data: ImageSet) -> list[str]:
    """The ids of all images of a data set, each once."""
    return list(dict.fromkeys(name for one in data.classes for name in (*one.support, *one.query)))


def export_tokens(
    tokenizer: Tokenizer, data: ImageSet, file: Path, progress: Callable[[int], None] = lambda count: None
) -> int:
    """Encodes every image of a data set, in all layers, into a file of tokens; returns how many images differ.

    Args:
        progress: called with the number of images of each batch.

    Raises:
        CorruptImage: an image cannot be read.
    """
    names = image_ids(data)
    tokens: dict[str, ImageTokens] = {}
    for start in range(0, len(names), BATCH):
        pixels = [data.image(name) for name in names[start : start + BATCH]]
        tokens |= zip(map(image_sha256, pixels), tokenizer.encode(pixels), strict=True)
        progress(len(pixels))
    write_token_file(file, tokenizer.fingerprint, tokens)
    return len(tokens)
