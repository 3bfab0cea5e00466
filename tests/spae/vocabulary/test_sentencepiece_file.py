"""A sentencepiece model trained here, and matrices in both formats."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from spae.errors import InputError, WeightsError
from spae.vocabulary import WordFilter
from spae.vocabulary.sentencepiece_file import sentencepiece_vocabulary

sentencepiece = pytest.importorskip("sentencepiece", reason="needs pip install 'spae-bench[vocabularies]'")
ALL = WordFilter(blocked=frozenset())
TEXT = ["the lion and the lions sleep near the river bank", "a river near the lion", "the lion sleeps"] * 20


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_writer=written, vocab_size=60, model_type=request.param,
        hard_vocab_limit=False, minloglevel=2, byte_fallback=False,
    )  # fmt: skip
    path = tmp_path_factory.mktemp(request.param) / "words.model"
    path.write_bytes(written.getvalue())
    return path


def test_words_are_pieces_behind_a_space_with_their_rows(model, tmp_path):
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    matrix = np.random.default_rng(0).standard_normal((len(processor) + 4, 6)).astype(np.float32)
    np.save(tmp_path / "m.npy", matrix)
    built = sentencepiece_vocabulary(model, tmp_path / "m.npy", ALL)
    assert {"lion", "sleeps"} <= set(built.words) and "<s>" not in built.words
    for word, token, row in zip(built.words, built.tokens, built.embeddings, strict=True):
        assert processor.id_to_piece(token) == f"▁{word}" and row.equal(torch.from_numpy(matrix[token]))
    # Pieces never reach over a space, so a word alone shows what it becomes between others.
    back = [processor.encode(f"Input: {word}")[-1] for word in built.words]
    assert built.round_trip_rate == sum(map(int.__eq__, back, built.tokens)) / len(back) > 0.5
    assert built.source == "words.model with the embeddings of m.npy"


def test_both_files_and_formats(model, tmp_path):
    pieces = len(sentencepiece.SentencePieceProcessor(model_file=str(model)))
    matrix = torch.randn(pieces, 6)
    np.save(tmp_path / "m.npy", matrix.numpy())
    save_file({"e": matrix}, tmp_path / "one.safetensors")
    save_file({"e": matrix, "f": matrix + 1}, tmp_path / "two.safetensors")
    np.save(tmp_path / "other.npy", matrix.numpy() + 1)
    found = [
        sentencepiece_vocabulary(model, tmp_path / name, ALL, tensor)
        for name, tensor in (("m.npy", None), ("one.safetensors", None), ("two.safetensors", "e"), ("other.npy", None))
    ]
    assert found[0].fingerprint == found[1].fingerprint == found[2].fingerprint != found[3].fingerprint
    assert len({one.source_sha256 for one in found}) == 4, "the hash is of both files"


def test_unusable_files_are_refused(model, tmp_path):
    pieces = len(sentencepiece.SentencePieceProcessor(model_file=str(model)))
    np.save(tmp_path / "m.npy", np.zeros((pieces, 6), np.float32))
    np.save(tmp_path / "short.npy", np.zeros((pieces - 1, 6), np.float32))
    np.save(tmp_path / "flat.npy", np.zeros(pieces, np.float32))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    save_file({"e": torch.zeros(1), "f": torch.zeros(1)}, tmp_path / "two.safetensors")
    (tmp_path / "broken.model").write_bytes(b"nothing of the kind")
    for file, matrix, said in (
        (tmp_path / "none.model", "m.npy", "there is no sentencepiece model"),
        (tmp_path / "broken.model", "m.npy", "broken.model is not a sentencepiece model"),
        (model, "none.npy", "is not a matrix"),
        (model, "objects.npy", "is not a matrix"),
        (model, "short.npy", f"{pieces} pieces need as many embeddings"),
        (model, "flat.npy", f"{pieces} pieces need as many embeddings"),
    ):
        with pytest.raises(WeightsError, match=said):
            sentencepiece_vocabulary(file, tmp_path / matrix)
    with pytest.raises(InputError, match=r"two\.safetensors holds e, f: name the one"):
        sentencepiece_vocabulary(model, tmp_path / "two.safetensors")
