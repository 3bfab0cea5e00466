"""LeCAM against a run in plain Python, and its state through a checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from spae.errors import InputError
from spae.losses.lecam import LeCam, global_mean

STEPS = [(2.0, -1.0), (3.0, 0.5), (-1.0, 1.5), (0.0, -4.0)]


def by_hand(steps: list[tuple[float, float]], decay: float) -> list[float]:
    average_real = average_fake = 0.0
    found = []
    for real, fake in steps:
        found.append(max(real - average_fake, 0) ** 2 + max(average_real - fake, 0) ** 2)
        average_real = decay * average_real + (1 - decay) * real
        average_fake = decay * average_fake + (1 - decay) * fake
    return found


@pytest.mark.parametrize("decay", [0.999, 0.5, 0.0])
def test_each_step_uses_the_averages_before_it(decay):
    lecam = LeCam(decay)
    found = []
    for real, fake in STEPS:
        found.append(lecam(torch.tensor(real), torch.tensor(fake)).item())
        lecam.update(torch.tensor(real), torch.tensor(fake))
    assert found == pytest.approx(by_hand(STEPS, decay), rel=1e-5)


def test_two_steps_by_hand():
    lecam = LeCam(0.5)
    lecam.update(torch.tensor(2.0), torch.tensor(-2.0))  # averages 1 and -1
    assert (lecam.real.item(), lecam.fake.item()) == (1.0, -1.0)
    # relu(0.5 + 1)^2 + relu(1 - 0.25)^2
    assert lecam(torch.tensor(0.5), torch.tensor(0.25)).item() == pytest.approx(2.25 + 0.5625)
    assert lecam(torch.tensor(-3.0), torch.tensor(4.0)).item() == 0.0


def test_the_gradient_reaches_the_logits_and_not_the_averages():
    lecam = LeCam(0.5)
    lecam.update(torch.tensor(2.0), torch.tensor(-2.0))
    real, fake = torch.tensor([0.0, 1.0], requires_grad=True), torch.tensor([0.5, 0.0], requires_grad=True)
    penalty = lecam(global_mean(real), global_mean(fake))
    lecam.update(real.mean(), fake.mean())  # between the penalty and its gradient: must not matter
    penalty.backward()
    # 2 (0.5 + 1) / 2 for each, and -2 (1 - 0.25) / 2.
    assert real.grad is not None and fake.grad is not None
    assert real.grad.tolist() == pytest.approx([1.5, 1.5]) and fake.grad.tolist() == pytest.approx([-0.75, -0.75])
    assert not lecam.real.requires_grad and not lecam.fake.requires_grad


def test_the_averages_are_in_the_state_dict():
    first, second = LeCam(0.9), LeCam(0.9)
    for real, fake in STEPS:
        first.update(torch.tensor(real), torch.tensor(fake))
    assert set(first.state_dict()) == {"real", "fake"}
    second.load_state_dict(first.state_dict())
    here = torch.tensor(0.3), torch.tensor(-0.2)
    assert second(*here).equal(first(*here)) and first(*here) > 0


def test_a_decay_outside_its_range_is_refused():
    for decay in (1.0, -0.1):
        with pytest.raises(InputError, match=r"\[0, 1\)"):
            LeCam(decay)


def test_the_mean_is_of_all_processes(monkeypatch):
    """A stand-in for a second process, whose mean is 6.5."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda mean: mean.add_(6.5))
    logits = torch.tensor([1.0, 2.0], requires_grad=True)
    mean = global_mean(logits)
    mean.backward()
    assert mean.item() == pytest.approx(4.0) and logits.grad is not None
    assert logits.grad.tolist() == [0.5, 0.5], "averaged over both processes: 1/4 a logit"


PROCESS = """
import sys, torch
from torch.distributed import init_process_group
from spae.losses.lecam import LeCam, global_mean
rank = int(sys.argv[1])
init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
logits = torch.tensor([[1.0, 2.0], [4.0, 9.0]])[rank].requires_grad_()
lecam = LeCam(0.5)
mean = global_mean(logits)
lecam(mean, torch.tensor(0.0)).backward()
print(mean.item(), logits.grad.tolist())
"""


@pytest.mark.slow
def test_two_processes_take_the_mean_of_both_batches(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", PROCESS]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], stdout=subprocess.PIPE, text=True,
                         env=environment)
        for rank in (0, 1)
    ]  # fmt: skip
    said = [process.communicate(timeout=900)[0].strip() for process in both]
    # Mean 4; 2 * 4 / 2 a logit in each process, which averaging over two processes makes 2 * 4 / 4.
    assert said == ["4.0 [4.0, 4.0]"] * 2
