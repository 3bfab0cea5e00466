"""When a run stops, and that it does not otherwise."""

from __future__ import annotations

import pytest
import torch

from spae.errors import TrainingError
from spae.training.health_monitor import Watch

CPU = torch.device("cpu")


def number(value: float) -> torch.Tensor:
    return torch.tensor(value)


@pytest.mark.parametrize(
    ("total", "norm"), [(float("nan"), 1.0), (float("inf"), 1.0), (1.0, float("nan")), (1.0, float("inf"))]
)
def test_a_number_that_is_none_is_remembered(recipe_of, total, norm):
    watch = Watch(recipe_of(), CPU)
    watch.step(3, number(1.0), number(2.0))
    watch.check(lambda: "step-000002.safetensors")
    watch.step(4, number(total), number(norm))
    watch.step(5, number(float("nan")), number(float("nan")))
    watch.step(6, number(1.0), number(1.0))
    with pytest.raises(TrainingError, match=r"finite, got loss and gradient norm .* at step 4.*step-000002") as caught:
        watch.check(lambda: "step-000002.safetensors")
    assert "\n" not in str(caught.value) and "initial=" in str(caught.value)


def test_fp16_may_overflow_but_not_for_ever(recipe_of):
    watch = Watch(recipe_of(), CPU)
    watch.step(0, number(1.0), None)
    watch.check(lambda: "none", scale=1.0)
    with pytest.raises(TrainingError, match="no loss scale"):
        watch.check(lambda: "none", scale=2.0**-15)


def judged(watch, count, loss=0.0, accuracy=1.0):
    for _ in range(count):
        watch.judge(number(loss), number(accuracy))


def test_a_stalled_discriminator_stops_after_so_many_steps(recipe_of):
    watch = Watch(recipe_of(gan="stylegan", stall_steps=5, stall_loss=0.01), CPU)
    judged(watch, 4)
    watch.check(lambda: "none")
    judged(watch, 1)
    judged(watch, 2, loss=9.0)
    with pytest.raises(TrainingError, match=r"stalled: for 5 steps .* below 0.01 .*discriminator_lr"):
        watch.check(lambda: "none")


@pytest.mark.parametrize("spell", [{"loss": 0.01}, {"accuracy": 0.99}, {"loss": float("nan")}])
def test_one_step_that_is_not_stalled_begins_anew(recipe_of, spell):
    watch = Watch(recipe_of(gan="stylegan", stall_steps=5, stall_loss=0.01), CPU)
    judged(watch, 4)
    judged(watch, 1, **spell)
    judged(watch, 4)
    watch.check(lambda: "none")
    judged(watch, 1)
    with pytest.raises(TrainingError, match="stalled"):
        watch.check(lambda: "none")


def test_0_steps_watch_nothing(recipe_of):
    watch = Watch(recipe_of(gan="stylegan", stall_steps=0), CPU)
    judged(watch, 100)
    watch.check(lambda: "none")
