"""Videos to words and back, by a model of videos."""

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
        tmp_path / "videos",
        network="picto-video",
        pyramid=[[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        num_frames=8,
        image_size=16,
    )
    return tmp_path / "videos"


@pytest.fixture
def videos():
    random = np.random.default_rng(4)
    return [np.repeat(random.integers(0, 256, (8, 1, 1, 3), np.uint8), 16, 1).repeat(16, 2) for _ in range(2)]


def test_words_and_videos_are_those_of_the_model(folder, videos, tiny):
    tokenizer = spae.from_pretrained(folder)
    assert isinstance(tokenizer, VideoTokenizer) and (tokenizer.num_frames, tokenizer.depth) == (8, 3)
    tokens = tokenizer.encode(videos)
    with torch.no_grad():
        pixels = torch.stack([torch.from_numpy(video).permute(3, 0, 1, 2) for video in videos]).double() / 127.5 - 1
        model = tokenizer._model.double()
        quantized = model.encode(pixels)
        decoded = model.decode(model.quantizer.decode_ids(quantized.ids)).clamp(-1, 1)
        tokenizer._model.float()
    for i, one in enumerate(tokens):
        assert [list(layer) for layer in one.ids] == [layer[i].tolist() for layer in quantized.ids]
        assert one.grids == ((1, 1, 1), (1, 2, 2), (2, 2, 2))
        assert one.text([1, 2]).split() == [tiny.words[k] for layer in one.ids[:2] for k in layer]
        back = tokenizer.decode([one])[0]
        assert back.shape == (8, 16, 16, 3) and back.dtype == np.uint8
        off = (decoded[i].permute(1, 2, 3, 0) + 1) * 127.5 - torch.from_numpy(back)
        assert off.abs().max() <= 0.501
    assert [one.ids for one in tokenizer.encode(videos, 2)] == [one.ids[:2] for one in tokens]


def test_a_saved_tokenizer_opens_again(folder, videos, tmp_path):
    first = spae.from_pretrained(folder)
    first.save_pretrained(tmp_path / "saved")
    again = spae.from_pretrained(tmp_path / "saved")
    assert again.fingerprint == first.fingerprint and again.encode(videos) == first.encode(videos)


def test_image_and_video_models_open_only_as_their_own_kind(folder, tiny_folder, videos):
    assert isinstance(spae.from_pretrained(tiny_folder), LexicalTokenizer)
    with pytest.raises(InputError, match="is a model of videos"):
        LexicalTokenizer.from_pretrained(folder)
    with pytest.raises(InputError, match="is a model of images"):
        VideoTokenizer.from_pretrained(tiny_folder)
    tokenizer = VideoTokenizer.from_pretrained(folder)
    for wrong in (videos[0][:7], videos[0][0]):
        with pytest.raises(ShapeError, match=r"\[8, H, W, 3\]"):
            tokenizer.encode([wrong])
    with pytest.raises(InputError, match="layers 1 to 3"):
        tokenizer.encode(videos, 4)
    with pytest.raises(InputError, match="ids per layer must be"):
        VideoTokens(((1,),), (("a",),), ((1, 2, 2),))
    with pytest.raises(InputError, match="layers run from 1 to 1"):
        VideoTokens(((1,),), (("a",),), ((1, 1, 1),)).text([2])
