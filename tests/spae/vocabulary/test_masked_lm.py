"""Words of a masked language model: all that start a word, with the model's own rows."""

from __future__ import annotations

from safetensors.torch import load_file

from spae.canonical import sha256_file
from spae.vocabulary import WordFilter
from spae.vocabulary.masked_lm import masked_lm_vocabulary
from tests.spae.tokenizers.conftest import tiny_roberta  # noqa: F401 (a fixture)


def test_words_and_rows_are_the_model_s(tiny_roberta):  # noqa: F811
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_roberta)
    built = masked_lm_vocabulary(tiny_roberta)
    rows = load_file(tiny_roberta / "model.safetensors")["roberta.embeddings.word_embeddings.weight"]
    assert built.embeddings.equal(rows[list(built.tokens)]) and built.embeddings.shape[1] == 16
    assert built.source_sha256 == sha256_file(tiny_roberta / "model.safetensors")
    text = "the " + " ".join(built.words)
    assert tokenizer.encode(text)[-len(built) :] == list(built.tokens) and built.round_trip_rate == 1.0
    expected = [tokenizer.decode([i]) for i in range(len(tokenizer))]
    assert set(built.words) == {one[1:] for one in expected if one.startswith(" ") and one[1:].strip()}
    assert len(masked_lm_vocabulary(tiny_roberta, WordFilter(most_frequent=2))) == 2
