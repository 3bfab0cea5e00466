"""A still video through an inflated network against the image through the network it came from."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spae.errors import ShapeError, UnknownName
from spae.network_presets import Plan
from spae.networks import build_autoencoder, inflate
from spae.networks.autoencoder import IMAGES, VIDEOS, Autoencoder, Decoder, Encoder, Ops, ResBlock
from spae.networks.inflate import inflate_kernel

FLAT = Plan(8, (1, 2, 2), ((2, 2), (2, 2)))
DEEP = Plan(8, (1, 2, 2), ((2, 2, 2), (1, 2, 2)))


def pair(mode, ops=VIDEOS) -> tuple[Autoencoder, Autoencoder]:
    """A small network of images and the one of videos inflated from it, in float64; 8 frames become 4."""
    torch.manual_seed(0)
    flat = Autoencoder(Encoder(6, FLAT), Decoder(6, FLAT)).double()
    deep = Autoencoder(Encoder(6, DEEP, ops), Decoder(6, DEEP, ops)).double()
    deep.load_state_dict(inflate(flat.state_dict(), mode))
    return flat, deep


def still(images: torch.Tensor, frames: int) -> torch.Tensor:
    return images[:, :, None].expand(-1, -1, frames, -1, -1)


@pytest.mark.parametrize("mode", ["central", "average"])
@torch.no_grad()
def test_a_still_video_has_the_images_features_in_every_frame(mode):
    flat, deep = pair(mode)
    images = torch.randn(2, 3, 16, 12, dtype=torch.float64)
    expected = flat.encoder(images)
    found = deep.encoder(still(images, 8))
    assert found.shape == (2, 6, 4, 4, 3)
    for frame in range(4):
        torch.testing.assert_close(found[:, :, frame], expected, rtol=0, atol=1e-12)
    decoded = deep.decoder(found)
    assert decoded.shape == (2, 3, 8, 16, 12)
    for frame in range(8):
        torch.testing.assert_close(decoded[:, :, frame], flat.decoder(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("mode", "still_holds"), [("central", True), ("average", False)])
@torch.no_grad()
def test_why_the_end_frames_are_repeated(mode, still_holds):
    """Kernels spread over time see zeros before and after the video, and the norms pass it on to all frames."""
    flat, deep = pair(mode, Ops(("T", "H", "W"), nn.Conv3d, nn.AvgPool3d))
    images = torch.randn(1, 3, 16, 12, dtype=torch.float64)
    error = (deep.encoder(still(images, 8)) - flat.encoder(images)[:, :, None]).abs().amax((0, 1, 3, 4))
    assert error.shape == (4,)
    assert ((error < 1e-12) == still_holds).all()


@torch.no_grad()
def test_central_reads_each_frame_of_a_moving_video_alone():
    torch.manual_seed(1)
    flat, deep = ResBlock(4, 8, IMAGES).double(), ResBlock(4, 8, VIDEOS).double()
    deep.load_state_dict(inflate(flat.state_dict()))
    for block in (flat, deep):
        block.norm1 = block.norm2 = nn.Identity()
    video = torch.randn(1, 4, 5, 6, 7, dtype=torch.float64)
    for frame in range(5):
        torch.testing.assert_close(deep(video)[:, :, frame], flat(video[:, :, frame]), rtol=0, atol=1e-12)


@torch.no_grad()
def test_average_reads_the_mean_of_three_frames():
    torch.manual_seed(2)
    flat, deep = IMAGES.conv(2, 3, 3, padding=1).double(), VIDEOS.conv(2, 3, 3, padding=1).double()
    deep.load_state_dict(inflate(flat.state_dict(), "average"))
    video = torch.randn(1, 2, 4, 5, 5, dtype=torch.float64)
    found = deep(video)
    for frame, seen in enumerate(([0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3])):
        torch.testing.assert_close(found[:, :, frame], flat(video[:, :, seen].mean(2)), rtol=0, atol=1e-12)


def test_presets_of_videos_take_the_state_of_presets_of_images():
    image, video = build_autoencoder("picto", 16), build_autoencoder("picto-video", 16)
    for mode in ("central", "average"):
        assert video.load_state_dict(inflate(image.state_dict(), mode))
    with torch.device("meta"):
        names = {name: value.shape for name, value in build_autoencoder("video", 16).state_dict().items()}
        state = inflate(build_autoencoder("image", 16).state_dict())
    assert {name: value.shape for name, value in state.items()} == names


def test_kernels_by_hand():
    kernel = torch.arange(9.0).view(1, 1, 3, 3)
    central, average = inflate_kernel(kernel, "central"), inflate_kernel(kernel, "average")
    assert central.tolist() == [[[[[0] * 3] * 3, kernel[0, 0].tolist(), [[0] * 3] * 3]]]
    torch.testing.assert_close(average, torch.stack([kernel / 3] * 3, 2))
    point = torch.randn(4, 2, 1, 1)
    assert inflate_kernel(point, "central").equal(point[..., None])
    assert inflate_kernel(point, "average").equal(point[..., None])


def test_tensors_without_spatial_axes_are_copied():
    state = {"norm.weight": torch.ones(3), "codebook": torch.randn(5, 2), "positions": torch.arange(4)}
    copied = inflate(state)
    assert all(copied[name].equal(value) and copied[name] is not value for name, value in state.items())
    copied["codebook"].zero_()
    assert state["codebook"].any()


@pytest.mark.parametrize("shape", [(2, 2, 4, 4), (2, 2, 3, 1)])
def test_kernels_without_a_middle_are_refused_by_name(shape):
    with pytest.raises(ShapeError, match=r"layers\.0\.weight: .* k odd"):
        inflate({"layers.0.weight": torch.zeros(shape)})


def test_an_unknown_mode_names_the_near_one():
    with pytest.raises(UnknownName, match="did you mean 'central'"):
        inflate({"weight": torch.zeros(1, 1, 3, 3)}, "centre")
