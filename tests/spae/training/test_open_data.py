"""Training data opened by the text of `data.source`; and pictograms as training data."""

from __future__ import annotations

import tarfile

import pytest
import torch

from spae.data.datasets.protocol import TrainingData
from spae.data.embedded.pictograms import load_pictograms
from spae.errors import DataError, InputError, UnknownName
from spae.training.data_source import SCHEMES, held_out_parts, open_data, open_training_data
from spae.training.pictogram_data import PictogramBatches, PictogramData, moving
from spae.training.recipes import get_recipe
from tests.spae.data.conftest import add, class_folders, image_bytes


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "cache"))


def opened(spec: str, **more: object) -> TrainingData:
    return open_training_data(spec, **{"size": 16, "batch": 4, "seed": 0, **more})


@pytest.mark.parametrize("scheme", ["folder", "webdataset"])
def test_files(tmp_path, scheme):
    class_folders(tmp_path / "set", {"cat": 8, "dog": 8})
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(16):
            add(archive, f"{number}.png", image_bytes(number))
            add(archive, f"{number}.txt", b"cat" if number < 8 else b"dog")
    (tmp_path / "out.txt").write_text("dog")
    spec = f"folder:{tmp_path / 'set'}" if scheme == "folder" else f"webdataset:{tmp_path / 'a.tar'}"
    data = opened(spec)
    assert (
        isinstance(data, TrainingData) and data.classes == ("cat", "dog") and data.at(0).images.shape == (4, 3, 16, 16)
    )
    data.close()
    fewer = opened(spec, exclude=str(tmp_path / "out.txt"))
    assert fewer.classes == ("cat",)
    fewer.close()


def test_videos_of_a_folder_and_of_shards(tmp_path):
    pytest.importorskip("av")
    from tests.spae.data.datasets.test_video_file import video

    for number in range(3):
        video(tmp_path / "set" / "jump" / f"{number}.mp4", 8)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(3):
            add(archive, f"{number}.mp4", (tmp_path / "set" / "jump" / f"{number}.mp4").read_bytes())
            add(archive, f"{number}.txt", b"jump")
    for spec in (f"video:{tmp_path / 'set'}?stride=2", f"webdataset:{tmp_path / 'a.tar'}"):
        data = opened(spec, frames=4)
        assert data.classes == ("jump",) and data.at(0).images.shape == (4, 3, 4, 16, 16)
        data.close()


@pytest.mark.parametrize(
    ("spec", "more", "error", "message"),
    [
        pytest.param("pictogram", {}, UnknownName, "did you mean 'pictograms'", id="near-miss"),
        pytest.param("/data/imagenet", {}, UnknownName, "SCHEME:LOCATION", id="bare-path"),
        pytest.param("folder:", {}, InputError, "lacks a location", id="no-location"),
        pytest.param("folder:/nowhere/at/all", {}, DataError, "no folder at", id="no-folder"),
        pytest.param("folder:/tmp", {"frames": 16}, InputError, "holds images", id="videos-of-images"),
        pytest.param("mnist", {"frames": 16}, InputError, "holds images", id="videos-of-digits"),
        pytest.param("video:/tmp", {}, InputError, "holds videos", id="images-of-videos"),
        pytest.param("mnist", {"exclude": "a.txt"}, InputError, "takes no list", id="digits-left-out"),
        pytest.param("mnist?size=3", {}, UnknownName, "unknown option of mnist", id="option"),
        pytest.param("pictograms:here", {}, InputError, "have no location", id="pictograms-elsewhere"),
        pytest.param("pictograms-more:here", {}, InputError, "write 'pictograms-more'", id="more-elsewhere"),
    ],
)
def test_refused(spec, more, error, message):
    with pytest.raises(error, match=message) as caught:
        opened(spec, **more)
    assert "\n" not in str(caught.value)


def test_every_scheme_is_told():
    assert sorted(SCHEMES) == ["folder", "hf", "mnist", "pictograms", "pictograms-more", "video", "webdataset"]


def test_pictograms_are_those_of_the_committed_models():
    """The same batches as the committed models were trained on."""
    data = opened("pictograms", size=32, batch=6, seed=3)
    assert isinstance(data, PictogramData)
    generator = torch.Generator().manual_seed(3 * 1_000_003 + 5)
    images, labels = PictogramBatches(load_pictograms(), 6, 32, 3, 1.0).at(5, generator)
    batch = data.at(5)
    assert torch.equal(batch.images, images) and torch.equal(batch.labels, labels)
    part = data.at(5, slice(2, 4))
    assert torch.equal(part.images, images[2:4]) and part.names == batch.names[2:4]
    again = torch.Generator().manual_seed(3 * 1_000_003 + 5)
    data.sample(5, again)
    assert torch.equal(again.get_state(), generator.get_state())
    assert data.classes[labels[0]] == data.pictograms.concepts[labels[0]].name


def test_pictograms_hold_out_their_style():
    data = opened("pictograms", size=32)
    assert len(data.held_out()) == 651 and len(data.held_out(10)) == 10
    assert torch.equal(data.held_out(10).images[0], data.held_out().images[0])


def test_further_styles_are_trained_on_and_change_nothing_held_out():
    plain, more = opened("pictograms", size=32), opened("pictograms-more", size=32)
    assert isinstance(plain, PictogramData) and isinstance(more, PictogramData)
    assert (plain.name, more.name) == ("pictograms", "pictograms-more")
    assert more.title == "embedded pictograms-more: 651 concepts, 7403 images"
    assert more.corrupt_files.total > 2 * plain.corrupt_files.total and more.fingerprint != plain.fingerprint
    assert more.classes == plain.classes
    for one, other in zip(held_out_parts(plain, 999).values(), held_out_parts(more, 999).values(), strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    assert torch.equal(plain.held_out().images, more.held_out().images)
    labels = [more.at(step).labels for step in range(3)]
    assert not any(more.pictograms.concepts[label].held_out for label in torch.cat(labels).tolist())


def test_moving_pictograms():
    data = opened("pictograms", size=32, frames=5)
    clips = data.at(0)
    assert clips.images.shape == (4, 3, 5, 32, 32) and torch.equal(data.at(0).images, clips.images)
    assert data.held_out(2).images.shape == (2, 3, 5, 32, 32)
    assert (clips.images[:, :, 0] - clips.images[:, :, -1]).abs().mean() > 0.01


def test_movement_is_smooth_and_passes_through_the_image():
    image = torch.ones(2, 3, 32, 32)
    image[:, :, 12:20, 10:18] = -1
    clip = moving(image, 9, torch.Generator().manual_seed(1))
    assert torch.allclose(clip[:, :, 4], image, atol=1e-4)
    steps = (clip[:, :, 1:] - clip[:, :, :-1]).abs().mean((0, 1, 3, 4))
    whole = (clip[:, :, -1] - clip[:, :, 0]).abs().mean()
    assert steps.max() < whole and steps.min() > 0 and clip.min() >= -1 and clip.max() <= 1
    assert torch.allclose(moving(image, 1, torch.Generator())[:, :, 0], image, atol=1e-4)


def test_label_text_needs_names(tmp_path):
    class_folders(tmp_path / "set", {"n01440764": 2, "n01443537": 2})
    recipe = get_recipe("mnist").with_settings([f"data.source=folder:{tmp_path / 'set'}"])
    assert recipe.semantics.scorer == "label_text"
    with pytest.raises(InputError, match=r"2 of 2 in folder:.* \('n01440764'\): add \?classes=FILE"):
        open_data(recipe, tmp_path)
    (tmp_path / "set" / "classes.txt").write_text("n01440764 tench\nn01443537 goldfish\n")
    data = open_data(recipe, tmp_path)
    assert data.classes == ("tench", "goldfish")
    data.close()
