"""What a report shows beside its numbers: example episodes, redrawn images, and what the data is.

The runner saves one `Examples` as `exhibits.json`, so that a report is made again from the folder alone.
Images are PNG bytes in base64; anything else is turned away here, before it can reach a page.
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
from results.atomic import path_inside, write_text_atomic
from results.errors import RecordError
from results.faults import first_fault
from results.record import Status
from results.store import EXHIBITS
from spae.canonical import Frozen

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
    """PNG bytes as the `Png` of an exhibit."""
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
    """One image of an episode and its words."""

    role: Literal["support", "query"]
    label: str = Field(description="its class, as the LLM is told it; the right answer for a query")
    png: Png
    pyramid: tuple[WordLayer, ...] = Field(description="layers 1 to D, also those that the LLM was not shown")


class Exhibit(Frozen):
    """One sample as one tokenizer showed it to one LLM."""

    task: str
    setting: str
    sample: str = Field(description="id of the sample; exhibits of one sample are shown side by side")
    tokenizer: str
    layers: str = Field(description="layers whose words were in the prompt: '1-2'")
    llm: str
    scoring: str
    images: tuple[ShownImage, ...]
    prompt: str
    reply: str | None
    prediction: str | None
    answer: str
    references: tuple[str, ...] = Field(default=(), description="every text that is right, where several are")
    status: Status
    value: float | None
    detail: str = ""


class RedrawnImage(Frozen):
    """An image and what the decoder makes of its first l layers."""

    label: str
    original: Png
    by_layer: tuple[Png, ...] = Field(description="from layers 1 to l, for l = 1..D")


class Reconstruction(Frozen):
    """How well a tokenizer's words redraw images."""

    tokenizer: str
    data: str
    grids: tuple[tuple[int, int], ...] = Field(description="per layer, its (rows, columns)")
    count: int = Field(gt=0, description="number of images the errors are means over")
    mse: tuple[float, ...] = Field(description="mean squared error on [-1, 1] from layers 1 to l, for l = 1..D")
    mean_image_mse: float = Field(gt=0, description="error of the mean image, which a useful tokenizer is far below")
    images: tuple[RedrawnImage, ...] = ()

    @model_validator(mode="after")
    def _one_per_layer(self) -> Self:
        lengths = {len(self.grids), len(self.mse), *(len(image.by_layer) for image in self.images)}
        if len(lengths) != 1:
            raise ValueError(f"grids, mse and redrawn images are one per layer, got lengths {sorted(lengths)}")
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
    episodes: tuple[Exhibit, ...] = ()
    reconstructions: tuple[Reconstruction, ...] = ()
    questions: tuple[QuestionGroup, ...] = Field(default=(), description="what the samples ask for, where they ask")

    def note(self, data: str) -> DataNote | None:
        """What is known of an image set, if anything."""
        return next((note for note in self.data if note.name == data), None)

    def grids(self, tokenizer: str) -> tuple[tuple[int, int], ...]:
        """The (rows, columns) of a tokenizer's layers; none where nothing of it is exhibited."""
        for reconstruction in self.reconstructions:
            if reconstruction.tokenizer == tokenizer:
                return reconstruction.grids
        for exhibit in self.episodes:
            if exhibit.tokenizer == tokenizer and exhibit.images:
                return tuple((layer.rows, layer.columns) for layer in exhibit.images[0].pyramid)
        return ()

    def token_counts(self, rows: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Tokens per image of each (tokenizer, layers), where its grids are known."""
        counts: dict[tuple[str, str], int] = {}
        for tokenizer, layers in rows:
            grids, numbers = self.grids(tokenizer), layer_numbers(layers)
            if grids and max(numbers) <= len(grids):
                counts[tokenizer, layers] = sum(grids[n - 1][0] * grids[n - 1][1] for n in numbers)
        return counts


def save_exhibits(folder: Path, book: Examples) -> Path:
    """Writes `exhibits.json`, atomically."""
    return write_text_atomic(folder, EXHIBITS, book.model_dump_json() + "\n")


def load_exhibits(folder: Path) -> Examples:
    """Reads `exhibits.json`; an empty book where there is none.

    Raises:
        RecordError: the file is broken.
    """
    path = path_inside(folder, EXHIBITS)
    if not path.exists():
        return Examples()
    try:
        return Examples.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RecordError(f"{path} is not a book of exhibits ({first_fault(error)}): run again to make it") from error
