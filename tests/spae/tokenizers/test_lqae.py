"""LQAE on a tiny random RoBERTa: what is masked, what is lost, who gets gradients, and what is saved."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from spae.errors import InputError, WeightsError
from spae.tokenizers.build import build_model, load_model, save_model
from spae.tokenizers.lexical import LexicalTokenizer
from spae.tokenizers.lqae import LqaeModel
from spae.tokenizers.model_folder import load_config

B, N = 3, 16


def uniform(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return lambda count: torch.rand(B, count, generator=generator)


def images() -> torch.Tensor:
    return torch.rand(B, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def roberta(tiny_roberta):
    """The same weights as transformers opens them, on its own."""
    from transformers import RobertaForMaskedLM

    return RobertaForMaskedLM.from_pretrained(tiny_roberta).eval()


def test_words_are_the_nearest_by_angle(lqae, roberta_words):
    with torch.no_grad():
        z = lqae.latents(images())
        found = lqae.quantizer(z).ids[0]
    cosine = F.normalize(z.double(), dim=-1) @ F.normalize(roberta_words.embeddings.double(), dim=-1).T
    assert found.equal(cosine.argmax(-1)) and found.unique().numel() > 1


def test_nothing_is_masked_in_evaluation(lqae, roberta, roberta_words):
    """Decoded from RoBERTa's hidden states of <s> words </s>, given to it as token ids."""
    ids = torch.randint(len(roberta_words), (B, N), generator=torch.Generator().manual_seed(2))
    tokens = torch.tensor(roberta_words.tokens)[ids]
    with torch.no_grad():
        whole = torch.cat([torch.full((B, 1), 0), tokens, torch.full((B, 1), 2)], 1)
        hidden = roberta.roberta(whole).last_hidden_state[:, 1:-1]
        expected = lqae.autoencoder.decode(hidden, (4, 4))
        found = lqae.decode(lqae.quantizer.decode_ids([ids]))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("share", "count"), [(0.5, 8), (0.25, 4), (0.01, 1), (1.0, 16)])
def test_part_of_the_words_is_masked_and_predicted(lqae, roberta, roberta_words, share, count):
    """Against transformers with <mask> among its token ids, and a cross entropy of its logits at those places."""
    lqae.mask_ratio = share
    quantized = lqae.encode(images())
    decoded, terms = lqae.reconstruct(quantized.embeddings[-1], quantized, uniform())
    # Independent of the model: as many positions as asked for, those with the lowest numbers.
    numbers = uniform()(N)
    masked = numbers <= numbers.sort(1).values[:, count - 1 : count]
    assert masked.sum(1).tolist() == [count] * B
    tokens = torch.tensor(roberta_words.tokens)[quantized.ids[0]]
    shown = torch.where(masked, torch.tensor(4), tokens)
    whole = torch.cat([torch.full((B, 1), 0), shown, torch.full((B, 1), 2)], 1)
    with torch.no_grad():
        output = roberta(whole, output_hidden_states=True)
    logits = output.logits[:, 1:-1][masked]
    assert set(terms) == {"masked_lm"}
    assert terms["masked_lm"].item() == pytest.approx(F.cross_entropy(logits, tokens[masked]).item(), rel=1e-4)
    expected = lqae.autoencoder.decode(output.hidden_states[-1][:, 1:-1], (4, 4))
    torch.testing.assert_close(decoded.detach(), expected.detach(), atol=1e-5, rtol=1e-4)


def test_gradients_reach_the_encoder_through_the_language_model_and_stop_there(lqae):
    lqae.train()
    for name in ("decoded", "masked_lm"):
        lqae.zero_grad()
        quantized = lqae.encode(images())
        decoded, terms = lqae.reconstruct(quantized.embeddings[-1], quantized, uniform())
        (decoded.square().mean() if name == "decoded" else terms["masked_lm"]).backward()
        first = next(iter(lqae.autoencoder.encoder.parameters()))
        assert first.grad is not None and first.grad.any(), name
        language = lqae._language._model
        assert not language.training
        assert all(weight.grad is None and not weight.requires_grad for weight in language.parameters()), name


def test_masking_changes_the_image(lqae):
    quantized = lqae.encode(images())
    first, second = (lqae.reconstruct(quantized.embeddings[-1], quantized, uniform(seed))[0] for seed in (0, 1))
    assert not first.allclose(second) and not first.allclose(lqae.decode(quantized.embeddings[-1]))


def test_the_language_model_is_neither_trained_nor_saved(lqae):
    names = {*lqae.state_dict(), *(name for name, _ in lqae.named_parameters())}
    assert names and all(name.startswith("autoencoder.") for name in names)
    other = copy.deepcopy(lqae).double()
    assert other._language is lqae._language and lqae._language.embeddings.dtype == torch.float32
    quantized = other.encode(images().double())
    assert other.decode(quantized.embeddings[-1]).dtype == torch.float64


def test_a_saved_lqae_comes_back_the_same(tmp_path, lqae, lqae_config):
    config = lqae_config()
    lqae.load_state_dict({name: value.half().float() for name, value in lqae.state_dict().items()})
    save_model(tmp_path / "model", lqae.state_dict(), config)
    loaded = load_model(tmp_path / "model")
    assert isinstance(loaded, LqaeModel) and loaded.mask_ratio == 0.5 and load_config(tmp_path / "model") == config
    with torch.no_grad():
        first, second = (one.decode(one.encode(images()).embeddings[-1]) for one in (lqae.eval(), loaded))
    assert first.equal(second)
    assert all(name.startswith("autoencoder.") for name in load_file(tmp_path / "model" / "model.safetensors"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"masked_lm_sha256": "0" * 64}, "must be the one that the words are from, 000000000000, tiny-roberta is"),
        ({"masked_lm_source": "/nowhere/roberta"}, "roberta"),
    ],
)
def test_another_language_model_is_refused(lqae_config, roberta_words, monkeypatch, changed, words):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match=words) as caught:
        build_model(lqae_config().model_copy(update=changed), roberta_words)
    assert "\n" not in str(caught.value)


def test_words_of_another_model_are_refused(lqae, tiny):
    with pytest.raises(WeightsError, match="must be tiny-roberta's own embeddings"):
        LqaeModel(lqae.autoencoder, lqae.quantizer, lqae._language, lqae.tokens.flip(0))


def test_more_words_than_the_model_reads_are_refused(lqae):
    with pytest.raises(InputError, match="tiny-roberta reads 38 tokens, got 39"):
        lqae._language.hidden(torch.zeros(1, 39, 16))
    assert lqae._language.hidden(torch.zeros(1, 38, 16)).shape == (1, 38, 16)


@pytest.mark.parametrize(
    "changed", [{"codebook": "learned"}, {"latent_scale": 1.0}, {"quantizer": "rq", "pyramid": [4, 4]}]
)
def test_other_models_with_a_language_model_are_refused(lqae_config, roberta_words, changed):
    with pytest.raises(InputError, match=r"masked language model reads|latent_scale must be 0"):
        build_model(lqae_config(**changed), roberta_words)


def test_an_lqae_is_a_tokenizer(tmp_path, lqae, lqae_config, roberta_words, image_batch):
    save_model(tmp_path / "model", lqae.state_dict(), lqae_config())
    tokenizer = LexicalTokenizer.from_pretrained(tmp_path / "model")
    tokens = tokenizer.encode(list(image_batch))
    assert tokens == [tokenizer.encode([image])[0] for image in image_batch]
    assert all(len(one.words) == 1 and set(one.words[0]) <= set(roberta_words.words) for one in tokens)
    decoded = tokenizer.decode(tokens)
    assert len({one.tobytes() for one in decoded}) == len({one.ids for one in tokens})
