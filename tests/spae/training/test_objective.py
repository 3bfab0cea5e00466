"""Eq. 8 and 9 term by term, on a model whose every number can be worked out by hand.

One pixel a position: latents are the pixels' colours, three words are three colours, decoding paints the words.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from spae.errors import InputError
from spae.losses.semantic import Pool
from spae.pyramid import Pyramid
from spae.quantizers import Gradient, ResidualQuantizer, StreamingAverageQuantizer, VectorQuantizer
from spae.tokenizers.build import build_model
from spae.tokenizers.model import TokenizerModel
from spae.training.objective import Microbatch, Objective, as_images
from spae.training.step_random import BatchShard, ShardRandom, ShardUniform, StepRandom, UniformRows

WORDS = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
PYRAMID = Pyramid(((1, 1), (2, 2)))


class Painter(nn.Module):
    """Latents are pixels, and the other way round, both times a factor that can be trained."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0))

    def encode(self, images):
        return images.flatten(2).transpose(1, 2) * self.factor

    def decode(self, latents, grid):
        return latents.transpose(1, 2).unflatten(2, grid)


class Scores:
    """Word 1 is what every image shows."""

    def pools(self, images, labels):
        return (Pool(torch.tensor([[1]]), torch.ones(1, 1)),), torch.zeros(len(images), dtype=torch.long)


def painted() -> torch.Tensor:
    """One image of 2x2: (0.8, 0, 0), black, (0, 0.6, 0), black. Layer 1 visits the last position."""
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0, 0, 0], image[0, 1, 1, 0] = 0.8, 0.6
    return image


def part_of(recipe, images, step=0, generator=None, pyramid=PYRAMID, detail=False):
    random = StepRandom(recipe, pyramid, step, generator or torch.Generator().manual_seed(0))
    shard = BatchShard.of(0, 1, recipe.data.images_decoded, recipe.data.batch_size)
    return Microbatch(step, images, torch.zeros(len(images), dtype=torch.long), random.shard(shard), detail)


def recipe_for(recipe_of, **fields):
    values = {
        "batch_size": 1,
        "decode_batch_size": 1,
        "layer_dropout": 0.0,
        "pyramid": (1, 2),
        "commitment_weight": 0.5,
        "semantic_positions": 9,
    }
    return recipe_of(**(values | fields))


def model_of(quantizer=None) -> TokenizerModel:
    return TokenizerModel(Painter(), quantizer or StreamingAverageQuantizer(WORDS, PYRAMID)).train()


# By hand. z: (0.8,0,0), 0, (0,0.6,0), 0. Nearest words: 1, 0, 2, 0; the last position has word 0 twice.
# Errors 0.2^2 and 0.4^2 over 12 numbers; commitment of layer 1, the last position, is 0, of layer 2 as the mse.
MSE = (0.04 + 0.16) / 12


def test_mse_and_commitment(recipe_of):
    outcome = Objective(recipe_for(recipe_of))(model_of(), part_of(recipe_for(recipe_of), painted()))
    assert outcome.terms["loss/mse"].item() == outcome.terms["weighted/mse"].item() == pytest.approx(MSE)
    assert outcome.terms["loss/commitment"].item() == pytest.approx(MSE)
    assert outcome.terms["weighted/commitment"].item() == pytest.approx(0.5 * MSE)
    assert outcome.total.item() == outcome.terms["loss/total"].item() == pytest.approx(1.5 * MSE)
    assert outcome.decoded is not None and not outcome.decoded.requires_grad


def test_residuals_and_a_learned_codebook(recipe_of):
    """Layers of 1 and 4 residuals; the last position has 0 + 0. A codebook that learns by gradient has a term."""
    quantizer = ResidualQuantizer(WORDS, PYRAMID, learning=Gradient())
    recipe = recipe_for(recipe_of, quantizer="rq", codebook="learned")
    terms = Objective(recipe)(model_of(quantizer), part_of(recipe, painted())).terms
    assert terms["loss/mse"].item() == pytest.approx(MSE)
    assert terms["loss/codebook"].item() == pytest.approx(MSE)
    assert terms["loss/total"].item() == pytest.approx(2.5 * MSE)


def discriminate(images):
    """One logit an image: its sum of reds."""
    return images[:, 0].flatten(1).sum(1)


def test_gan(recipe_of):
    """Decoded reds sum to 1: log(1 + e^-1) for the logistic loss, -1 for hinge."""
    recipe = recipe_for(recipe_of, gan="stylegan", gan_weight=0.3)
    for kind, expected in (("logistic", math.log(1 + math.exp(-1))), ("hinge", -1.0)):
        terms = Objective(recipe, discriminator=discriminate, gan=kind)(model_of(), part_of(recipe, painted())).terms
        assert terms["loss/gan"].item() == pytest.approx(expected)
        assert terms["weighted/gan"].item() == pytest.approx(0.3 * expected)
        assert terms["loss/total"].item() == pytest.approx(1.5 * MSE + 0.3 * expected)


def test_perceptual(recipe_of):
    recipe = recipe_for(recipe_of, perceptual="resnet50", perceptual_weight=0.2)
    distance = lambda real, fake: (real.sum() - fake.sum()).abs()  # noqa: E731 (1.4 against 2)
    terms = Objective(recipe, perceptual=distance)(model_of(), part_of(recipe, painted())).terms
    assert terms["loss/perceptual"].item() == pytest.approx(0.6)
    assert terms["weighted/perceptual"].item() == pytest.approx(0.12)
    assert terms["loss/total"].item() == pytest.approx(1.5 * MSE + 0.12)


# Layer 1 looks up z of the last position, which is black: squared distances to the words 0, 1, 1; the wanted word is
# at 1, so the cross entropy is 1 + log(1 + 2/e).
SEMANTIC = 1 + math.log(1 + 2 / math.e)


@pytest.mark.parametrize(
    ("fields", "weight"),
    [
        pytest.param({"semantic_weight_max": 1.0}, MSE / SEMANTIC, id="of the mse"),
        pytest.param({"semantic_weight_reference": "appearance"}, 1.5 * MSE / SEMANTIC, id="of all of Eq. 8"),
        pytest.param({"semantic_weight_min": 0.4}, 0.4, id="held up"),
        pytest.param({"semantic_weight_max": 0.001}, 0.001, id="held down"),
        pytest.param({"dynamic_weight": False}, 1.0, id="none"),
    ],
)
@pytest.mark.parametrize("target", ["expected", "sampled"])
def test_semantic_and_its_weight(recipe_of, fields, weight, target):
    recipe = recipe_for(recipe_of, thresholds=(0.9,), semantic_weight=0.5, target=target, **fields)
    terms = Objective(recipe, Scores())(model_of(), part_of(recipe, painted())).terms
    assert terms["loss/semantic"].item() == pytest.approx(SEMANTIC)
    assert terms["semantic_weight"].item() == pytest.approx(0.5 * weight)
    assert terms["weighted/semantic"].item() == pytest.approx(0.5 * weight * SEMANTIC)
    assert terms["loss/total"].item() == pytest.approx(1.5 * MSE + 0.5 * weight * SEMANTIC)


def test_the_weight_passes_no_gradient(recipe_of):
    """d total / d factor is that of mse + beta commitment + c semantic with c a number."""
    recipe = recipe_for(recipe_of, thresholds=(0.9,))
    images = painted()
    images[0, 2, 1, 1] = 0.3
    model = model_of()
    outcome = Objective(recipe, Scores())(model, part_of(recipe, images))
    outcome.total.backward()
    found, c = model.autoencoder.factor.grad.item(), outcome.terms["semantic_weight"].item()

    def total(factor):
        z = images.flatten(2).transpose(1, 2)[0].double() * factor
        painted_words = WORDS[[1, 0, 2, 0]].double()
        # Straight through: the reconstruction moves as z does.
        decoded = painted_words + (z - z.detach())
        mse = (decoded - images.flatten(2).transpose(1, 2)[0].double()).square().mean()
        commit = (z - painted_words).square().mean() + (z[3] - painted_words[0]).square().mean()
        distances = (z[3] - WORDS.double()).square().sum(1)
        return mse + 0.5 * commit + c * (torch.logsumexp(-distances, 0) + distances[1])

    factor = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(total(factor), factor)
    assert found == pytest.approx(expected.item(), rel=1e-5) and c == pytest.approx(
        (outcome.terms["loss/mse"] / outcome.terms["loss/semantic"]).item()
    )


class Masking(TokenizerModel):
    """A model with a term of its own, as LQAE has."""

    def reconstruct(self, embeddings, quantized, uniform):
        self.drew = uniform(3)
        return self.decode(embeddings), {"masked_lm": embeddings.sum() * 0 + 7.0}


def test_own_loss_term_of_a_model_has_the_weight_of_its_field(recipe_of):
    recipe = recipe_for(recipe_of, masked_lm="roberta", masked_lm_weight=0.01)
    model = Masking(Painter(), StreamingAverageQuantizer(WORDS, PYRAMID)).train()
    terms = Objective(recipe)(model, part_of(recipe, painted())).terms
    assert terms["loss/masked_lm"].item() == 7 and terms["weighted/masked_lm"].item() == pytest.approx(0.07)
    assert model.drew.shape == (1, 3)


def test_semantic_warmup_decodes_nothing(recipe_of):
    recipe = recipe_for(recipe_of, thresholds=(0.9,), semantic_warmup_steps=2, semantic_weight=0.5)
    outcome = Objective(recipe, Scores())(model_of(), part_of(recipe, painted(), step=1))
    assert outcome.decoded is None and outcome.total.item() == pytest.approx(SEMANTIC)
    outcome = Objective(recipe, Scores())(model_of(), part_of(recipe, painted(), step=2))
    assert outcome.decoded is not None and "loss/mse" in outcome.terms


def test_images_that_are_not_decoded_count_for_the_semantic_loss_alone(recipe_of):
    recipe = recipe_for(recipe_of, thresholds=(0.9,), batch_size=2)
    other = torch.full((1, 3, 2, 2), 0.5)
    found = []
    for second in (painted(), other):
        images = torch.cat([painted(), second])
        found.append(Objective(recipe, Scores())(model_of(), part_of(recipe, images)).terms)
    assert found[0]["loss/mse"].item() == found[1]["loss/mse"].item() == pytest.approx(MSE)
    assert found[0]["loss/commitment"].item() == found[1]["loss/commitment"].item()
    # Of the grey image: distances 0.75 to black, 0.75 to red, 0.75 to green.
    assert found[1]["loss/semantic"].item() == pytest.approx((SEMANTIC + math.log(3)) / 2)


def test_detail_metrics_are_of_images_decoded_from_all_layers(recipe_of):
    recipe = recipe_for(recipe_of, batch_size=2, decode_batch_size=2)
    random = ShardRandom(torch.tensor([1, 2]), None, ShardUniform(UniformRows(torch.Generator(), 2), slice(None)))
    images = torch.cat([painted(), painted()])
    terms = Objective(recipe)(model_of(), Microbatch(0, images, torch.zeros(2), random, True)).terms
    assert terms["mse_all_layers"].item() == pytest.approx(MSE)
    # The first is decoded from layer 1 alone: black.
    assert terms["loss/mse"].item() == pytest.approx((MSE + (0.64 + 0.36) / 12) / 2)
    assert terms["words_used"].item() == 3 and terms["z_norm"].item() == pytest.approx(0.35)


def test_frames_of_videos_are_images():
    clip = torch.arange(2 * 3 * 4 * 2 * 2).view(2, 3, 4, 2, 2)
    frames = as_images(clip)
    assert frames.shape == (8, 3, 2, 2) and frames[5].equal(clip[1, :, 1])
    assert as_images(frames) is frames


def test_semantic_loss_of_a_learned_codebook_is_refused(recipe_of):
    recipe = recipe_for(recipe_of, thresholds=(0.9,))
    flat = Pyramid(((2, 2),))
    model = model_of(VectorQuantizer(WORDS, flat, learning=Gradient()))
    with pytest.raises(InputError, match="a learned codebook has none"):
        Objective(recipe, Scores())(model, part_of(recipe, painted(), pyramid=flat))


def test_every_network_weight_gets_a_gradient_and_the_codebook_none(tiny, recipe_of):
    recipe = recipe_of(latent_scale=1.0)
    torch.manual_seed(0)
    model = build_model(recipe.model, tiny).train()
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    Objective(recipe)(model, part_of(recipe, images, pyramid=model.quantizer.pyramid)).total.backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == [] and not model.quantizer.codebook.requires_grad


def test_softplus_matches_the_formula():
    """So that the constants above are not the code's own."""
    assert F.softplus(torch.tensor(-1.0)).item() == pytest.approx(math.log(1 + math.exp(-1)))
