"""Opens what a recipe trains on, by the text of its `data` field."""

from __future__ import annotations

from pathlib import Path

from spae.data.datasets.protocol import TrainingData
from spae.data.spec import DataSpec, parse_data_spec
from spae.errors import InputError, UnknownName

SCHEMES: dict[str, str] = {
    "pictograms": "the embedded pictograms; with frames, clips of them moving",
    "pictograms-more": "the same with drawings in 15 further styles to train on; what is held out stays the same",
    "mnist": "the embedded sample of MNIST; mnist:FOLDER, the four IDX files of all of it",
    "folder": "folder:PATH, class folders of images, or train/ and val/ of them (ImageNet, ImageNet-21k)",
    "webdataset": "webdataset:PATTERN, local tar shards ({000..146} and * are filled in)",
    "hf": "hf:NAME[:CONFIG] or hf:PATH, a Hugging Face data set, a saved one, or parquet files (extra: data)",
    "video": "video:PATH, class folders of clips, or a Kinetics csv beside them (extra: data)",
}
EMBEDDED = ("pictograms", "pictograms-more", "mnist")
FOR_IMAGES = ("mnist", "folder", "hf")


def open_training_data(
    spec: str,
    *,
    size: int,
    frames: int = 0,
    batch: int,
    seed: int,
    exclude: str = "",
    strength: float = 1.0,
    workers: int | None = None,
    problems_file: Path | None = None,
) -> TrainingData:
    """The batches of a recipe.

    Args:
        spec: a name or `SCHEME:LOCATION?option=value`, as SCHEMES and `data_spec` tell.
        size: side of the model's images.
        frames: of a clip; 0 for images.
        batch: global batch.
        seed: of the run.
        exclude: file of class names to leave out, one a line.
        strength: of the random changes; 0 leaves the mirror alone.
        workers: decoding threads; None takes one a core, at most 16.
        problems_file: where all files that cannot be used are listed.

    Raises:
        UnknownName: no such scheme or option.
        InputError: the spec does not fit `frames` or `exclude`, or a package is missing.
        DataError: the data cannot be used.
    """
    parsed = parse_data_spec(spec)
    if parsed.scheme not in SCHEMES:
        raise UnknownName("data (a name or SCHEME:LOCATION)", spec, SCHEMES)
    if parsed.scheme in EMBEDDED:
        return _embedded(parsed, size=size, frames=frames, batch=batch, seed=seed, exclude=exclude, strength=strength)
    if not parsed.location:
        raise InputError(f"data {spec!r} lacks a location: {SCHEMES[parsed.scheme]}")
    _fits(parsed, frames)
    from spae.data.datasets.sources import open_rows

    return open_rows(
        parsed,
        size=size,
        frames=frames,
        batch=batch,
        seed=seed,
        exclude=Path(exclude) if exclude else None,
        strength=strength,
        workers=workers,
        problems_file=problems_file,
    )


def _embedded(
    spec: DataSpec, *, size: int, frames: int, batch: int, seed: int, exclude: str, strength: float
) -> TrainingData:
    spec.only()
    if exclude:
        raise InputError(
            f"data {spec.text} takes no list of classes to leave out, got exclude={exclude}: leave it empty"
        )
    if spec.scheme == "mnist":
        _fits(spec, frames)
        from spae.data.embedded.mnist_training import open_mnist

        return open_mnist(spec.location, size=size, batch=batch, seed=seed)
    if spec.location:
        raise InputError(f"data {spec.text!r}: pictograms are embedded and have no location, write {spec.scheme!r}")
    from spae.data.embedded.pictograms import load_pictograms
    from spae.data.embedded.training_pictograms import load_training_pictograms
    from spae.training.pictogram_data import PictogramData

    pictograms = load_training_pictograms() if spec.scheme == "pictograms-more" else load_pictograms()
    return PictogramData(
        batch=batch,
        size=size,
        frames=frames,
        seed=seed,
        strength=strength,
        pictograms=pictograms,
        name=spec.scheme,
    )


def _fits(spec: DataSpec, frames: int) -> None:
    if frames and spec.scheme in FOR_IMAGES:
        raise InputError(f"data {spec.scheme} holds images, the recipe asks for clips of {frames} frames: set frames=0")
    if not frames and spec.scheme == "video":
        raise InputError(
            "data video holds clips, the recipe asks for images (frames=0): set frames, the paper takes 16"
        )
