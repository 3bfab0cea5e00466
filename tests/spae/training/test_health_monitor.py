"""When a run stops, and that it does not otherwise."""

from __future__ import annotations

import pytest
import torch

from spae.errors import TrainingError
from spae.training.health_monitor import HealthMonitor

CPU = torch.device("cpu")


def number(value: float) -> torch.Tensor:
    return torch.tensor(value)


@pytest.mark.parametrize(
    ("total", "norm"), [(float("nan"), 1.0), (float("inf"), 1.0), (1.0, float("nan")), (1.0, float("inf"))]
)
def test_first_non_finite_step_stops_the_run(recipe_of, total, norm):
    health = HealthMonitor(recipe_of(), CPU)
    health.step(3, number(1.0), number(2.0))
    health.check(lambda: "step-000002.safetensors")
    health.step(4, number(total), number(norm))
    health.step(5, number(float("nan")), number(float("nan")))
    health.step(6, number(1.0), number(1.0))
    with pytest.raises(TrainingError, match=r"finite, got loss and gradient norm .* at step 4.*step-000002") as caught:
        health.check(lambda: "step-000002.safetensors")
    assert "\n" not in str(caught.value) and "optimizer.init_from=" in str(caught.value)


def test_fp16_overflow_stops_the_run_below_the_smallest_scale(recipe_of):
    health = HealthMonitor(recipe_of(), CPU)
    health.step(0, number(1.0), None)
    health.check(lambda: "none", scale=1.0)
    with pytest.raises(TrainingError, match="no loss scale"):
        health.check(lambda: "none", scale=2.0**-15)


def discriminated(health, count, loss=0.0, accuracy=1.0):
    for _ in range(count):
        health.discriminator_step(number(loss), number(accuracy))


def test_stalled_discriminator_stops_after_stall_steps(recipe_of):
    health = HealthMonitor(recipe_of(gan="stylegan", stall_steps=5, stall_loss=0.01), CPU)
    discriminated(health, 4)
    health.check(lambda: "none")
    discriminated(health, 1)
    discriminated(health, 2, loss=9.0)
    with pytest.raises(TrainingError, match=r"stalled: for 5 steps .* below 0.01 .*discriminator_lr"):
        health.check(lambda: "none")


@pytest.mark.parametrize("spell", [{"loss": 0.01}, {"accuracy": 0.99}, {"loss": float("nan")}])
def test_one_healthy_step_restarts_the_count(recipe_of, spell):
    health = HealthMonitor(recipe_of(gan="stylegan", stall_steps=5, stall_loss=0.01), CPU)
    discriminated(health, 4)
    discriminated(health, 1, **spell)
    discriminated(health, 4)
    health.check(lambda: "none")
    discriminated(health, 1)
    with pytest.raises(TrainingError, match="stalled"):
        health.check(lambda: "none")


def test_stall_steps_0_never_stops(recipe_of):
    health = HealthMonitor(recipe_of(gan="stylegan", stall_steps=0), CPU)
    discriminated(health, 100)
    health.check(lambda: "none")
