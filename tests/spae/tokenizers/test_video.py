"""Clips to words and back, by a model of clips."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import spae
from spae.errors import InputError, ShapeError
from spae.tokenizers.lexical import LexicalTokenizer
from spae.tokenizers.video import VideoTokenizer, VideoTokens


@pytest.fixture
def folder(tmp_path, tiny, save_model):
    save_model(
        tmp_path / "clips",
        network="picto-video",
        pyramid=[[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        num_frames=8,
        image_size=16,
    )
    return tmp_path / "clips"


@pytest.fixture
def clips():
    random = np.random.default_rng(4)
    return [np.repeat(random.integers(0, 256, (8, 1, 1, 3), np.uint8), 16, 1).repeat(16, 2) for _ in range(2)]


def test_words_and_clips_are_the_models(folder, clips, tiny):
    tokenizer = spae.from_pretrained(folder)
    assert isinstance(tokenizer, VideoTokenizer) and (tokenizer.frames, tokenizer.depth) == (8, 3)
    tokens = tokenizer.encode(clips)
    with torch.no_grad():
        pixels = torch.stack([torch.from_numpy(clip).permute(3, 0, 1, 2) for clip in clips]).double() / 127.5 - 1
        model = tokenizer._model.double()
        quantized = model.encode(pixels)
        drawn = model.decode(model.quantizer.decode_ids(quantized.ids)).clamp(-1, 1)
        tokenizer._model.float()
    for i, one in enumerate(tokens):
        assert [list(layer) for layer in one.ids] == [layer[i].tolist() for layer in quantized.ids]
        assert one.grids == ((1, 1, 1), (1, 2, 2), (2, 2, 2))
        assert one.text([1, 2]).split() == [tiny.words[k] for layer in one.ids[:2] for k in layer]
        back = tokenizer.decode([one])[0]
        assert back.shape == (8, 16, 16, 3) and back.dtype == np.uint8
        off = (drawn[i].permute(1, 2, 3, 0) + 1) * 127.5 - torch.from_numpy(back)
        assert off.abs().max() <= 0.501
    assert [one.ids for one in tokenizer.encode(clips, 2)] == [one.ids[:2] for one in tokens]


def test_saved_and_opened_again(folder, clips, tmp_path):
    first = spae.from_pretrained(folder)
    first.save_pretrained(tmp_path / "saved")
    again = spae.from_pretrained(tmp_path / "saved")
    assert again.fingerprint == first.fingerprint and again.encode(clips) == first.encode(clips)


def test_images_and_clips_are_told_apart(folder, tiny_folder, clips):
    assert isinstance(spae.from_pretrained(tiny_folder), LexicalTokenizer)
    with pytest.raises(InputError, match="is a model of clips"):
        LexicalTokenizer.from_pretrained(folder)
    with pytest.raises(InputError, match="is a model of images"):
        VideoTokenizer.from_pretrained(tiny_folder)
    tokenizer = VideoTokenizer.from_pretrained(folder)
    for wrong in (clips[0][:7], clips[0][0]):
        with pytest.raises(ShapeError, match=r"\[8, H, W, 3\]"):
            tokenizer.encode([wrong])
    with pytest.raises(InputError, match="layers 1 to 3"):
        tokenizer.encode(clips, 4)
    with pytest.raises(InputError, match="ids per layer must be"):
        VideoTokens(((1,),), (("a",),), ((1, 2, 2),))
    with pytest.raises(InputError, match="layers run from 1 to 1"):
        VideoTokens(((1,),), (("a",),), ((1, 1, 1),)).text([2])
