"""Layer subsets and names of a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.arguments import layer_subsets
from benchmarks.errors import UsageError
from benchmarks.plan import make_plan

from .conftest import ColourTokenizer
from .test_runner import config


@pytest.mark.parametrize(
    ("given", "label", "layers"),
    [
        pytest.param("1-2", "1-2", (1, 2), id="range"),
        pytest.param("2,1", "1-2", (1, 2), id="list"),
        pytest.param("2", "2", (2,), id="one"),
    ],
)
def test_layer_subsets_have_one_spelling(
    photos: Path, tokenizers: dict[str, ColourTokenizer], given: str, label: str, layers: tuple[int, ...]
) -> None:
    (view,) = make_plan(config(photos, layers=(given,))).views
    assert (view.label, view.layers) == (label, layers)


@pytest.mark.parametrize(
    ("given", "subsets"),
    [
        pytest.param("1-2,1-3", [(1, 2), (1, 2, 3)], id="growing"),
        pytest.param("1,1-2,1", [(1,), (1, 2)], id="repeated"),
        pytest.param("1-2,4", [(1, 2, 4)], id="one-subset-with-a-gap"),
    ],
)
def test_parts_that_share_layers_are_several_subsets(given: str, subsets: list[tuple[int, ...]]) -> None:
    assert layer_subsets(given) == subsets


def test_a_flat_tokenizer_is_shown_once_whatever_the_subsets(
    photos: Path, tokenizers: dict[str, ColourTokenizer]
) -> None:
    plan = make_plan(config(photos, tokenizers=("colours", "flat"), layers=("1", "1-2")))
    assert [(view.tokenizer.name, view.label) for view in plan.views] == [
        ("colours", "1"),
        ("colours", "1-2"),
        ("flat", "1"),
    ]
    assert plan.count() == 3 * 2 * 4


def test_two_tokenizers_of_one_name_are_refused(photos: Path, tokenizers: dict[str, ColourTokenizer]) -> None:
    tokenizers["flat"].name = "colours"
    with pytest.raises(UsageError, match="two tokenizers are called 'colours'"):
        make_plan(config(photos, tokenizers=("colours", "flat")))


def test_the_hash_of_a_run_follows_every_field(photos: Path) -> None:
    base = config(photos)
    assert base.fingerprint == config(photos).fingerprint
    changes: list[dict[str, object]] = [
        {"tasks": ("miniimagenet-5way",)}, {"tokenizers": ("flat",)}, {"llm": "x"}, {"dtype": "bfloat16"},
        {"data": None},
        {"settings": None}, {"layers": ("1",)}, {"scorings": ("ranked",)}, {"prompt_style": "palm"}, {"limit": 5},
        {"seed": 1},
        {"shuffle_images": True},
    ]  # fmt: skip
    hashes = {config(photos, **change).fingerprint for change in changes}
    assert len(hashes) == len(changes) and base.fingerprint not in hashes
