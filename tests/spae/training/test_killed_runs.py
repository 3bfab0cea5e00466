"""Runs in processes of their own: killed at any moment and resumed, and shared by two.

Both are slow because they start Python anew; the runs are of a few milliseconds a step.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.spae.training import small_run

KILLS = 10
STEPS = 32
MINUTES = 60.0

# As picto_spae, which has two norms of latents and two encoders, and with a discriminator besides.
PROJECTED = {
    "latent_scale": 1.0, "projected_layers": 2, "projected_dim": 3, "projected_scale": 0.75, "thresholds": [0.98, 0.9],
    "target": "sampled", "gan": "stylegan",
}  # fmt: skip
FIELDS = PROJECTED | {
    "steps": STEPS, "checkpoint_every": 1, "batch_size": 4, "decode_batch_size": 2, "evaluate_every": 12,
    "samples_every": 13,
}  # fmt: skip


def forked() -> multiprocessing.context.ForkServerContext:
    """Processes forked from one that has imported everything: a start costs milliseconds, not seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([small_run.__name__])
    return context


def tensors(folder: Path) -> dict[str, object]:
    return load_file(folder / f"step-{STEPS:06d}.safetensors")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_run_killed_ten_times_ends_bit_for_bit_as_an_uninterrupted_one(tmp_path: Path) -> None:
    """SIGKILL at ten random moments: while stepping, while writing a checkpoint, at whatever it was."""
    context, rng = forked(), random.Random(0)
    whole = context.Process(target=small_run.train, args=(str(tmp_path / "whole"), FIELDS))
    begun = time.monotonic()
    whole.start()
    while not list((tmp_path / "whole").glob("step-*.safetensors")):
        assert whole.exitcode is None
        time.sleep(0.005)
    first = time.monotonic() - begun
    whole.join(10 * MINUTES)
    assert whole.exitcode == 0
    each = (time.monotonic() - begun - first) / STEPS

    cut, kills, died_at = tmp_path / "cut", 0, []
    for _ in range(20 * KILLS):
        resume = any(cut.glob("step-*.safetensors"))
        run = context.Process(target=small_run.train, args=(str(cut), FIELDS, resume))
        before = (cut / "latest").read_text() if resume else ""
        run.start()
        if kills < KILLS:
            # From the first new checkpoint on, within the next two steps.
            while run.exitcode is None and (not (cut / "latest").exists() or (cut / "latest").read_text() == before):
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 2 * each))
            run.kill()
        run.join(10 * MINUTES)
        if run.exitcode == 0:
            break
        assert run.exitcode == -signal.SIGKILL
        kills += 1
        died_at.append((cut / "latest").read_text())
    assert kills == KILLS and len(set(died_at)) > KILLS // 2, died_at
    ours, theirs = tensors(cut), tensors(tmp_path / "whole")
    assert set(ours) == set(theirs) and {name.split("/")[0] for name in ours} == {
        "model", "ema", "optimizer", "discriminator", "discriminator_optimizer", "lecam", "health"
    }  # fmt: skip
    assert all(value.equal(theirs[name]) for name, value in ours.items())
    for name in ("model.safetensors", "config.json", "recipe.json", "latest", "log.jsonl"):
        assert (cut / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not list(cut.glob(".*.part")) and not list(cut.glob("*.damaged"))


SHARED = {
    "saq": {
        "steps": 10, "latent_scale": 1.0, "thresholds": [0.98, 0.9], "target": "sampled", "gan": "stylegan",
        "decode_batch_size": 4,
    },
    "projected": PROJECTED | {"steps": 3, "decode_batch_size": 4},
    "vq": {"steps": 3, "quantizer": "vq", "codebook_size": 30, "codebook_dim": 16},
}  # fmt: skip


def torchrun(runs: object) -> subprocess.CompletedProcess[str]:
    """Two processes of `small_run` on this machine, as `torchrun` starts them without any further variable."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [*command, small_run.__file__, json.dumps(runs)],
        env=environment, capture_output=True, text=True, timeout=20 * MINUTES,
    )  # fmt: skip


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    """In float64 the same losses at every step and the same weights; in float32 the same first step.

    So what sets two processes apart from one is the rounding of sums in another order, which training multiplies.
    """
    runs = [(name, fields | {"checkpoint_every": 99}, True) for name, fields in SHARED.items()]
    runs.append(("float32", SHARED["saq"] | {"steps": 1}, False))

    def into(kind: str) -> list[tuple[str, dict[str, object], bool]]:
        return [(str(tmp_path / f"{kind}-{name}"), fields, double) for name, fields, double in runs]

    alone = forked().Process(target=small_run.train_all, args=(into("one"),))
    alone.start()
    both = torchrun(into("two"))
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("training in 2 processes") == both.stdout.count("written:") == len(runs)
    alone.join(10 * MINUTES)
    assert alone.exitcode == 0
    for name, fields, double in runs:
        logs = [
            [json.loads(line) for line in (tmp_path / f"{kind}-{name}" / "log.jsonl").read_text().splitlines()]
            for kind in ("one", "two")
        ]
        assert len(logs[0]) == len(logs[1]) == fields["steps"] + 1
        if not double:
            assert logs[1][0] == pytest.approx(logs[0][0], rel=1e-5, abs=2e-6)
            continue
        for expected, found in zip(*logs, strict=True):
            assert found == pytest.approx(expected, rel=1e-6, abs=2e-6), (name, expected["step"])
        file = f"step-{fields['steps']:06d}.safetensors"
        ours, theirs = (load_file(tmp_path / f"{kind}-{name}" / file) for kind in ("two", "one"))
        for key, value in theirs.items():
            # What stands before a norm has no gradient but round-off, which Adam makes steps of.
            moved = theirs.get(f"optimizer/{key.removeprefix('model/')}/exp_avg")
            if key.startswith("model/") and moved is not None and moved.abs().max() > 1e-6:
                assert value.dtype == torch.float64 and ours[key].allclose(value, rtol=1e-7, atol=1e-9), (name, key)
