"""Training batches of the data that a recipe names: a reader of the format, and a loader that decodes one sample."""

from __future__ import annotations

from pathlib import Path

from spae.data.datasets.indexed import IndexedData, Loader
from spae.data.datasets.protocol import TrainingData
from spae.data.spec import DataSpec
from spae.data.transforms import ImageLoader


def open_samples(
    spec: DataSpec,
    *,
    size: int,
    frames: int,
    batch: int,
    seed: int,
    exclude: Path | None,
    strength: float,
    workers: int | None,
    corrupt_files_list: Path | None,
) -> TrainingData:
    """The batches of folder:, webdataset:, hf: or video:. Arguments and errors as `open_training_data`."""
    images = ImageLoader(size, strength)
    loader: Loader = images
    if spec.scheme == "hf":
        from spae.data.datasets.hub import open_hub

        if spec.switch("streaming"):
            from spae.data.datasets.hub_stream_data import open_stream

            return open_stream(
                spec, images, batch=batch, seed=seed, exclude=exclude, workers=workers,
                corrupt_files_list=corrupt_files_list,
            )  # fmt: skip
        source = open_hub(spec, exclude, corrupt_files_list)
    elif frames:
        from spae.data.datasets.video import open_video
        from spae.data.datasets.video_file import VIDEO_SUFFIXES, VideoLoader
        from spae.data.datasets.webdataset import open_shards

        loader = VideoLoader(size, frames, spec.number("stride", 1), strength)
        if spec.scheme == "webdataset":
            source = open_shards(spec, exclude, corrupt_files_list, VIDEO_SUFFIXES)
        else:
            source = open_video(spec, exclude, corrupt_files_list)
    elif spec.scheme == "webdataset":
        from spae.data.datasets.webdataset import open_shards

        source = open_shards(spec, exclude, corrupt_files_list)
    else:
        from spae.data.datasets.image_folder import open_folder

        source = open_folder(spec, exclude, corrupt_files_list)
    return IndexedData(source, loader, batch=batch, seed=seed, workers=workers)
