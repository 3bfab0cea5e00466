"""The total of Eq. 8 and 9 from its parts."""

from __future__ import annotations

import pytest
import torch

from spae.losses.semantic import Pool
from spae.tokenizers.build import build_model, model_config
from spae.training.objective import Objective


def setup(tiny, recipe, pools=2):
    torch.manual_seed(0)
    model = build_model(model_config(recipe.model_dump(), tiny), tiny).train()
    pictures = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    words = torch.tensor([[0, 1], [2, 2], [3, 4], [5, 6]])
    pool = Pool(words, torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]))
    return model, pictures, torch.tensor([0, 1, 2, 3]), Objective(recipe, (pool,) * pools)


def run(objective, model, pictures, labels, seed=0):
    return objective(model, pictures, labels, torch.Generator().manual_seed(seed))


def test_the_total_is_the_weighted_sum(tiny, recipe_of):
    recipe = recipe_of(alpha=0.5, weight_low=0.0, weight_high=0.7, beta=0.2, latent_spread=1.0)
    total, terms = run(*[setup(tiny, recipe)[i] for i in (3, 0, 1, 2)])
    weight = 0.5 * min(0.7, terms["mse"] / terms["semantic"])
    assert terms["semantic_weight"] == pytest.approx(weight, rel=1e-5)
    expected = terms["mse"] + 0.2 * terms["commitment"] + weight * terms["semantic"]
    assert total.item() == terms["total"] == pytest.approx(expected, rel=1e-5)


def test_every_network_weight_gets_a_gradient_and_the_codebook_none(tiny, recipe_of):
    model, pictures, labels, objective = setup(tiny, recipe_of(latent_spread=1.0))
    run(objective, model, pictures, labels)[0].backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == [] and not model.quantizer.codebook.requires_grad


def test_without_pools_there_is_no_semantic_term(tiny, recipe_of):
    for fields in ({}, {"quantizer": "vq"}):
        model, pictures, labels, objective = setup(tiny, recipe_of(**fields), pools=0)
        total, terms = run(objective, model, pictures, labels)
        assert "semantic" not in terms
        assert total.item() == pytest.approx(terms["mse"] + 0.33 * terms["commitment"], rel=1e-5)


def test_undrawn_pictures_count_for_words_alone(tiny, recipe_of):
    """Without the norm, whose statistics are the batch's, the last two pictures change the semantic term alone."""
    model, pictures, labels, objective = setup(tiny, recipe_of(drawn=2))
    others = pictures.clone()
    others[2:] = 0.3
    first, second = run(objective, model, pictures, labels)[1], run(objective, model, others, labels)[1]
    assert first["mse"] == pytest.approx(second["mse"], rel=1e-5)
    assert first["commitment"] == pytest.approx(second["commitment"], rel=1e-5)
    assert first["semantic"] != pytest.approx(second["semantic"], rel=1e-5)


@pytest.mark.parametrize(("share", "depth"), [(0.0, 4), (0.6, 4), (0.6, 1)])
def test_a_share_of_the_pictures_is_decoded_from_fewer_layers(tiny, recipe_of, share, depth):
    objective = Objective(recipe_of(prefix_share=share), ())
    depths = objective._depths(4000, depth, torch.Generator().manual_seed(0))
    counts = torch.bincount(depths, minlength=5)
    if share == 0 or depth == 1:
        assert counts[depth] == 4000
    else:
        assert counts[0] == 0 and counts[4].item() == pytest.approx(1600, abs=120)
        assert all(count == pytest.approx(800, abs=120) for count in counts[1:4].tolist())
