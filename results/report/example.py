"""What a report shows beside its numbers: example samples, reconstructed images, and what the data is.

The runner saves one `Examples` as `examples.json`, so that a report is made again from the folder alone. Its images are
PNG bytes in base64, so that file and page each stand alone; anything else is refused here, before it reaches a page.
Images that a task generated are files of the run's folder (`Record.images`), and named here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from results.analysis.question_groups import QuestionGroup
from results.analysis.settings import layer_numbers
from results.errors import RecordError, first_fault
from results.jsonl import path_inside, read_file, write_text
from results.record import Status
from results.store import EXAMPLES
from spae.canonical import Frozen
from spae.regular_file import MOST_INDEX, read_bytes

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PNG_BYTES = 2_000_000


def _png(text: str) -> str:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"an image is base64 of a PNG ({error})") from error
    if not data.startswith(PNG_SIGNATURE) or len(data) > MAX_PNG_BYTES:
        raise ValueError(f"an image is a PNG of at most {MAX_PNG_BYTES} bytes, got {len(data)} starting {data[:8]!r}")
    return text


Png = Annotated[str, AfterValidator(_png), Field(description="base64 of a PNG")]


def png_text(data: bytes) -> str:
    """PNG bytes as a `Png`."""
    return base64.b64encode(data).decode("ascii")


class WordLayer(Frozen):
    """The words of one layer of an image's pyramid, raster order."""

    rows: int = Field(gt=0)
    columns: int = Field(gt=0)
    words: tuple[str, ...] = Field(description="rows * columns of them")

    @model_validator(mode="after")
    def _full(self) -> Self:
        if len(self.words) != self.rows * self.columns:
            raise ValueError(f"a layer of {self.rows}x{self.columns} has as many words, got {len(self.words)}")
        return self


class ShownImage(Frozen):
    """One image of a sample and its words."""

    role: Literal["support", "query"]
    label: str = Field(description="its class, as the prompt names it; the right answer for a query")
    png: Png
    pyramid: tuple[WordLayer, ...] = Field(description="layers 1 to D, also those that the LLM was not shown")


class Example(Frozen):
    """One sample as one tokenizer showed it to one LLM. Fields that a record has, too, mean the same here."""

    task: str
    setting: str
    sample_id: str = Field(description="examples of one sample are shown side by side")
    tokenizer: str
    layers: str = Field(description="layers whose words were in the prompt: '1-2'")
    shuffled: bool = False
    model: str
    scoring: str
    images: tuple[ShownImage, ...]
    prompt: str
    reply: str | None
    prediction: str | None
    target: str
    references: tuple[str, ...] = ()
    status: Status
    scores: dict[str, float]
    explanation: str = ""
    generated: tuple[str, ...] = Field(default=(), description="names of PNG files in the run's folder")

    @property
    def name(self) -> str:
        """The tokenizer for a reader: 'spae', 'spae (shuffled)'."""
        return f"{self.tokenizer} (shuffled)" if self.shuffled else self.tokenizer


class ReconstructedImage(Frozen):
    """An image and what the decoder makes of its first l layers."""

    label: str
    original: Png
    by_layer: tuple[Png, ...] = Field(description="from layers 1 to l, for l = 1..D")


class Reconstruction(Frozen):
    """How well a tokenizer's words reconstruct images."""

    tokenizer: str
    data: str
    grids: tuple[tuple[int, int], ...] = Field(description="per layer, its (rows, columns)")
    count: int = Field(gt=0, description="number of images the errors are means over")
    mse: tuple[float, ...] = Field(description="mean squared error on [-1, 1] from layers 1 to l, for l = 1..D")
    mean_image_mse: float = Field(gt=0, description="error of the mean image, which a useful tokenizer is far below")
    images: tuple[ReconstructedImage, ...] = ()

    @model_validator(mode="after")
    def _one_per_layer(self) -> Self:
        lengths = {len(self.grids), len(self.mse), *(len(image.by_layer) for image in self.images)}
        if len(lengths) != 1:
            raise ValueError(f"grids, mse and reconstructions are one per layer, got lengths {sorted(lengths)}")
        return self


class DataNote(Frozen):
    """What an image set is, for the head of a report."""

    name: str = Field(description="as in the records")
    title: str = Field(description="one line; says what the set is")
    embedded: bool = Field(description="True where it ships with the project and stands in for a published set")
    stands_for: str = Field(default="mini-ImageNet", description="the published set that an embedded one is not")


class Examples(Frozen):
    """Everything of a report that is not in the records."""

    data: tuple[DataNote, ...] = ()
    samples: tuple[Example, ...] = ()
    reconstructions: tuple[Reconstruction, ...] = ()
    questions: tuple[QuestionGroup, ...] = Field(default=(), description="of tasks whose samples are questions")

    def note(self, data: str) -> DataNote | None:
        """What is known of an image set, if anything."""
        return next((note for note in self.data if note.name == data), None)

    def grids(self, tokenizer: str) -> tuple[tuple[int, int], ...]:
        """The (rows, columns) of a tokenizer's layers; none where it has no example."""
        for reconstruction in self.reconstructions:
            if reconstruction.tokenizer == tokenizer:
                return reconstruction.grids
        for example in self.samples:
            if example.tokenizer == tokenizer and example.images:
                return tuple((layer.rows, layer.columns) for layer in example.images[0].pyramid)
        return ()

    def token_counts(self, rows: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Tokens per image of each (tokenizer, layers), where its grids are known."""
        counts: dict[tuple[str, str], int] = {}
        for tokenizer, layers in rows:
            grids, numbers = self.grids(tokenizer), layer_numbers(layers)
            if grids and max(numbers) <= len(grids):
                counts[tokenizer, layers] = sum(grids[n - 1][0] * grids[n - 1][1] for n in numbers)
        return counts


def load_png(folder: Path, name: str) -> Png:
    """A PNG file of a run's folder, as base64.

    Raises:
        RecordError: there is none of that name, or it is not a PNG.
    """
    try:
        return _png(png_text(read_bytes(path_inside(folder, name), MOST_INDEX)))
    except (OSError, ValueError) as error:
        raise RecordError(f"{folder / name} must be an image of the run ({error}): run again to write it") from error


def save_examples(folder: Path, examples: Examples) -> Path:
    """Writes `examples.json`, atomically."""
    return write_text(folder, EXAMPLES, examples.model_dump_json() + "\n")


def load_examples(folder: Path) -> Examples:
    """Reads `examples.json`; an empty `Examples` where there is none.

    Raises:
        RecordError: the file is broken.
    """
    path = path_inside(folder, EXAMPLES)
    if not path.exists():
        return Examples()
    try:
        return Examples.model_validate_json(read_file(folder, EXAMPLES))
    except ValidationError as error:
        raise RecordError(f"{path} does not hold examples ({first_fault(error)}): run again to write it") from error
