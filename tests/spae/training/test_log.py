"""The log of a run, and its progress bar."""

from __future__ import annotations

import io
import json
import sys
import types

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from spae.errors import InputError
from spae.training.log import RunLog, read_log, trim_log
from spae.training.progress import StepBar


def test_lines_and_events(tmp_path):
    with RunLog(tmp_path, 0, "a", {}) as log:
        log.write(1, {"train/loss/mse": 0.12345678, "train/bad": float("nan")})
        log.write(2, {"train/loss/mse": 0.1})
        assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2, "flushed as it is written"
    with RunLog(tmp_path, 1, "a", {}) as log:
        log.write(2, {"train/loss/mse": 0.2})
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [
        {"step": 1, "train/loss/mse": 0.123457, "train/bad": None},
        {"step": 2, "train/loss/mse": 0.2},
    ]
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("train/loss/mse")
    assert [event.step for event in events] == [1, 2] and events[1].value == pytest.approx(0.2)


def test_wandb_is_used_only_on_request(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"pip install 'spae-bench\[wandb\]'"):
        RunLog(tmp_path, 0, "a", {}, wandb=True)
    calls = []
    run = types.SimpleNamespace(
        log=lambda values, step: calls.append((step, values)), finish=lambda exit_code: calls.append(exit_code)
    )  # fmt: skip
    module = types.SimpleNamespace(init=lambda **settings: calls.append(settings) or run)
    monkeypatch.setitem(sys.modules, "wandb", module)
    with RunLog(tmp_path, 0, "a", {"steps": 3}, wandb=True) as log:
        log.write(1, {"x": 2.0})
    assert calls[0]["name"] == "a" and calls[0]["config"] == {"steps": 3} and calls[0]["id"] == tmp_path.name
    assert calls[1:] == [(1, {"x": 2.0}), 0] and "key" not in str(calls[0]).replace(tmp_path.name, "")


def test_progress_bar_shows_steps_speed_and_terms():
    shown = io.StringIO()
    with StepBar("a", 10, 0, 64, Console(file=shown, width=160, force_terminal=True)) as bar:
        bar.update(1, {})
        bar.update(10, {"loss/mse": 0.5, "loss/total": 1.25, "z_norm": 9.0})
    text = shown.getvalue()
    assert "10/10 steps" in text and "images/s" in text and "mse 0.500 total 1.250" in text and "9.0" not in text


def test_log_is_trimmed_to_the_step_it_resumes_at(tmp_path):
    log = tmp_path / "log.jsonl"
    assert read_log(log) == []
    lines = [json.dumps({"step": step, "a": 0.5 * step}) for step in (1, 1, 2, 3)]
    log.write_bytes("\n".join([*lines, '{"step": 3, "a": 1.', "[1]", '"x"']).encode() + b"\xff")
    assert [line["step"] for line in read_log(log)] == [1, 1, 2, 3]
    trim_log(tmp_path, 2)
    assert log.read_text().splitlines() == lines[:3]
