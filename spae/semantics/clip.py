"""CLIP semantics (Eq. 5 and 6 of arXiv 2306.17842): features of words and of images, by open_clip.

f'_T(k) is the mean of the text features of word k in the 80 zero-shot ImageNet templates. All features returned
here have unit length, so that s' is their dot product.

B images, T frames, H W pixels, V words, E width of the features, N images of a data set.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spae.cache_folder import cache_folder
from spae.errors import ShapeError, UnknownName, WeightsError
from spae.regular_file import check_folder, check_regular
from spae.row_file import rows_on_disk

DEFAULT_CLIP = ("ViT-L-14", "openai")
"""Section 4.1: CLIP with a ViT-L/14 vision backbone."""


class Clip:
    """A frozen CLIP model.

    Args:
        name: for reports, without folders of this machine.
        model: of open_clip, on its device.
        tokenize: texts to ids [n, context].
    """

    def __init__(self, name: str, model: nn.Module, tokenize: Callable[[list[str]], Tensor]) -> None:
        from open_clip import get_model_preprocess_cfg

        self.name = name
        self._model: Any = model.eval().requires_grad_(False)
        self._tokenize = tokenize
        self.weights_sha256 = state_sha256(model)
        self._how: dict[str, Any] = get_model_preprocess_cfg(model)
        size = self._how["size"]
        self.size: tuple[int, int] = (size, size) if isinstance(size, int) else (size[0], size[1])

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return next(self._model.parameters()).device

    @torch.no_grad()
    def text_features(self, texts: Sequence[str], batch: int = 512) -> Tensor:
        """[n, E] unit-length features of texts without a template, on the CPU."""
        parts = [self._texts(list(texts[start : start + batch])).cpu() for start in range(0, len(texts), batch)]
        return F.normalize(torch.cat(parts), dim=-1)

    def word_features(self, words: Sequence[str], batch: int = 16) -> Tensor:
        """[V, E] f'_T of Eq. 5, normalized: computed once, then memory-mapped from the cache folder.

        The file's name holds the hash of weights, templates and words. A stopped run resumes.

        Args:
            batch: words at a time, 80 texts each.
        """
        templates = _templates()
        spelled = [template("{}") for template in templates]
        key = _key(self.weights_sha256, spelled, list(words))

        def make(start: int, stop: int) -> np.ndarray:
            texts = [template(word) for word in words[start:stop] for template in templates]
            with torch.no_grad():
                features = self._texts(texts).unflatten(0, (stop - start, len(templates))).mean(1)
            return F.normalize(features, dim=-1).cpu().numpy()

        return rows_on_disk(cache_folder() / f"clip-words-{key}.npy", len(words), make, batch)

    @torch.no_grad()
    def image_features(self, images: Tensor) -> Tensor:
        """Unit-length features of images, on the model's device.

        Args:
            images: [B, 3, H, W] in [-1, 1], any size: scaled and cropped to the model's input.

        Returns: [B, E].
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ShapeError(f"images are [B, 3, H, W], got {tuple(images.shape)}")
        features = self._model.encode_image(self._prepare(images.to(self.device, torch.float32)))
        return F.normalize(features.float(), dim=-1)

    def video_features(self, frames: Tensor) -> Tensor:
        """[B, T, 3, H, W] in [-1, 1] -> [B, E]: the mean of the frames' features, normalized."""
        if frames.ndim != 5:
            raise ShapeError(f"videos are [B, T, 3, H, W], got {tuple(frames.shape)}")
        features = self.image_features(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return F.normalize(features.mean(1), dim=-1)

    def set_features(
        self, fingerprint: str, images: int, read: Callable[[int, int], Tensor], batch: int = 64
    ) -> Tensor:
        """[N, E] features of a whole data set: computed once, then memory-mapped from the cache folder.

        Args:
            fingerprint: of the images that `read` gives: their order, size in pixels and crops.
            images: N.
            read: gives images start..stop-1 [n, 3, H, W] in [-1, 1], or videos [n, T, 3, H, W].
        """
        path = cache_folder() / f"clip-images-{_key(self.weights_sha256, fingerprint)}.npy"

        def make(start: int, stop: int) -> np.ndarray:
            part = read(start, stop)
            return (self.video_features(part) if part.ndim == 5 else self.image_features(part)).cpu().numpy()

        return rows_on_disk(path, images, make, batch)

    def _texts(self, texts: list[str]) -> Tensor:
        """[n, E], not normalized."""
        return self._model.encode_text(self._tokenize(texts).to(self.device)).float()

    def _prepare(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        if (height, width) != self.size:
            # On square images "shortest" and "squash" are the same. Rounded as torchvision does.
            tall = self.size[0] * width >= self.size[1] * height
            side, short = (self.size[0], height) if tall else (self.size[1], width)
            fitted = (max(height * side // short, self.size[0]), max(width * side // short, self.size[1]))
            target = self.size if self._how.get("resize_mode") == "squash" else fitted
            mode = self._how.get("interpolation", "bicubic")
            images = F.interpolate(images, target, mode=mode, antialias=True).clamp(-1, 1)
            top, left = round((target[0] - self.size[0]) / 2), round((target[1] - self.size[1]) / 2)
            images = images[:, :, top : top + self.size[0], left : left + self.size[1]]
        mean, deviation = (
            torch.tensor(self._how[name], device=images.device).view(3, 1, 1) for name in ("mean", "std")
        )
        return ((images + 1) / 2 - mean) / deviation


def open_clip_model(
    model: str = DEFAULT_CLIP[0], pretrained: str | None = DEFAULT_CLIP[1], device: str | torch.device = "cpu"
) -> Clip:
    """A CLIP model of open_clip.

    Args:
        model: a model of open_clip ("ViT-L-14"), "hf-hub:OWNER/NAME", or "local-dir:FOLDER" with an
            open_clip_config.json and weights.
        pretrained: a tag of open_clip ("openai", fetched and kept by huggingface_hub) or a local checkpoint
            (.safetensors, or a file that holds tensors only); None with the two prefixes, which have their own.

    Raises:
        UnknownName: open_clip lacks the model.
        WeightsError: weights are missing, cannot be downloaded or do not fit.
    """
    import open_clip

    own = model.startswith(("hf-hub:", "local-dir:"))
    if not own and model not in open_clip.list_models():
        raise UnknownName("CLIP model", model, open_clip.list_models())
    if not own and pretrained is None:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        raise WeightsError(f"{model} needs weights: name a local checkpoint or a tag of it ({tags})")
    name = model if model.startswith("hf-hub:") else model.removeprefix("local-dir:").rstrip("/").rpartition("/")[2]
    if not own and pretrained is not None:
        name = f"{name}/{Path(pretrained).name}"
    # Some tags were trained with another activation than in the model's configuration.
    tag = open_clip.get_pretrained_cfg(model, pretrained) if pretrained and not own else {}
    try:
        if own and Path(model.removeprefix("local-dir:")).is_dir():
            check_folder(Path(model.removeprefix("local-dir:")))
        elif pretrained is not None and os.path.exists(pretrained):
            check_regular(Path(pretrained))
        built = open_clip.create_model(
            model,
            None if own else pretrained,
            device=device,
            force_quick_gelu=bool(tag.get("quick_gelu")),
            require_pretrained=True,
            weights_only=True,
        )
        tokenize = open_clip.get_tokenizer(model)
    except Exception as error:  # whatever the hub, the file system or torch raise
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(
            f"CLIP {name} cannot be opened ({reason}): name a local checkpoint, or a tag that can be downloaded"
        ) from error
    return Clip(name, built, tokenize)


def state_sha256(model: nn.Module) -> str:
    """Hex sha256 over the names, types, shapes and bytes of a model's state, independent of its file."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _templates() -> Sequence[Callable[[str], str]]:
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return OPENAI_IMAGENET_TEMPLATES


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
