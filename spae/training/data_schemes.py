"""What `data.source` of a recipe may name, checked without opening any of it. Imports no torch."""

from __future__ import annotations

from spae.data.spec import DataSpec, parse_data_spec
from spae.errors import InputError, UnknownName

SCHEMES: dict[str, str] = {
    "pictograms": "the embedded pictograms; with num_frames, videos of them moving",
    "pictograms-more": "the same with 15 further styles to train on; the held-out images stay the same",
    "mnist": "the embedded sample of MNIST; mnist:FOLDER, the four IDX files of all of it",
    "folder": "folder:PATH, class folders of images, or train/ and val/ of them (ImageNet, ImageNet-21k)",
    "webdataset": "webdataset:PATTERN, local tar shards ({000..146} and * are expanded)",
    "hf": "hf:NAME[:CONFIG] or hf:PATH, a Hugging Face data set, a saved one, or parquet files (extra: data)",
    "video": "video:PATH, class folders of videos, or a Kinetics csv beside them (extra: data)",
}
EMBEDDED = ("pictograms", "pictograms-more", "mnist")
FOR_IMAGES = ("mnist", "folder", "hf")


def check_source(text: str, frames: int, exclude: str = "") -> DataSpec:
    """A source whose scheme exists, has a location where it needs one, and fits images or videos.

    Args:
        frames: of the recipe's videos; 0 for images.
        exclude: the recipe's list of classes to leave out.

    Raises:
        UnknownName: unknown scheme.
        InputError: the location is missing or one too many, or the data are of the other kind.
    """
    spec = parse_data_spec(text)
    if spec.scheme not in SCHEMES:
        raise UnknownName("data (a name or SCHEME:LOCATION)", text, SCHEMES, near=spec.scheme)
    if spec.scheme in EMBEDDED:
        spec.only()
        if exclude:
            raise InputError(
                f"data {text} takes no list of classes to leave out, got {exclude}: leave data.exclude_classes empty"
            )
        if spec.location and spec.scheme != "mnist":
            raise InputError(f"data {text!r}: pictograms are embedded and have no location, write {spec.scheme!r}")
    elif not spec.location:
        raise InputError(f"data {text!r} lacks a location: {SCHEMES[spec.scheme]}")
    if frames and spec.scheme in FOR_IMAGES:
        raise InputError(
            f"data {spec.scheme} holds images, the recipe trains on videos of {frames} frames: set model.num_frames=0"
        )
    if not frames and spec.scheme == "video":
        raise InputError("data video holds videos, the recipe trains on images: set model.num_frames, 16 in the paper")
    return spec
