"""Several processes where accelerate's launcher starts one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spae.launch import launched_alone, processes_asked, relaunch_command


def test_a_launcher_that_starts_one_process_of_two_is_noticed():
    asked = {"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1"}
    assert launched_alone(asked) and not launched_alone(asked | {"WORLD_SIZE": "2"})
    assert not launched_alone({}) and not launched_alone({"MASTER_ADDR": "127.0.0.1"})


@pytest.mark.parametrize(
    ("command", "processes"),
    [
        ("accelerate launch --cpu --num_processes 2 -m spae train", 2),
        ("accelerate launch --cpu --num-processes=4 -m spae train", 4),
        ("accelerate launch --cpu -m spae train", 1),
        ("accelerate launch --num_processes", 1),
        ("accelerate launch --num_processes many", 1),
        ("accelerate launch --num_processes 0", 1),
    ],
)
def test_how_many_were_asked_for(command, processes):
    assert processes_asked(command.split()) == processes


def test_the_command_keeps_the_arguments():
    command = relaunch_command(2, ["train", "--set", "a=b c"])
    assert command[-5:] == ["-m", "spae", "train", "--set", "a=b c"] and "2" in command


@pytest.mark.slow
def test_the_command_of_accelerate_trains_in_two_processes(tmp_path: Path):
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "-m", "spae", "train",
        "--recipe", "picto_vqgan", "--out", str(tmp_path / "run"), "--set", "data=mnist", "--set", "steps=2",
        "--set", "batch=4", "--set", "drawn=4", "--set", "evaluate_images=4", "--set", "samples_every=99",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("training in 2 processes") == 1 and done.stdout.count("written:") == 1
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert steps == [2, 2], "the last step's losses, and its evaluation"
