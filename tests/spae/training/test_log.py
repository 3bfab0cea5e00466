"""The log of a run, and its progress bar."""

from __future__ import annotations

import io
import json
import re
import sys
import types

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from spae.errors import InputError
from spae.training.log import RunLog, read_log, rounded_value, trim_log
from spae.training.progress import StepBar, showing_work
from spae.work_progress import report_progress


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


@pytest.mark.parametrize(
    ("value", "written"),
    [(1e-7, 1e-7), (1.23456789e-7, 1.23457e-7), (-3e-12, -3e-12), (0.0, 0.0), (29.547712345, 29.547712), (1e9, 1e9)],
)
def test_small_numbers_keep_their_digits(value, written):
    assert rounded_value(value) == written


def test_full_disk_at_the_end_does_not_hide_the_first_error(tmp_path, monkeypatch):
    log = RunLog(tmp_path, 0, "a", {})

    def full():
        raise OSError("full")

    monkeypatch.setattr(log, "_board", types.SimpleNamespace(close=full))
    with pytest.raises(ValueError, match="first"), log:
        raise ValueError("first")
    with pytest.raises(OSError, match="full"):
        log.__exit__(None, None, None)


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


@pytest.mark.parametrize("name", ["a", "ablation_constant_weight_smoke"])
def test_progress_fits_80_columns_with_the_time_left(name):
    shown = io.StringIO()
    terms = {f"loss/{term}": 123.456 for term in ("mse", "semantic", "gan", "total")}
    with StepBar(name, 450_000, 0, 256, Console(file=shown, width=80, force_terminal=True)) as bar:
        bar.update(100_000, terms)
        bar._progress.refresh()
    lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in re.split(r"[\r\n]", shown.getvalue())]
    line = next(one for one in lines if "100000/450000 steps" in one)
    assert " left" in line and "images/s" in line and max(map(len, lines)) <= 80
    assert any(line.startswith("mse 123.456 semantic 123.456 gan 123.456 total 123.456") for line in lines)


def test_work_before_the_first_step_is_shown():
    said = io.StringIO()
    with showing_work(Console(file=said)):
        report_progress("text features", 0, 1000)
        report_progress("text features", 512, 1000)
        report_progress("text features", 1000, 1000)
    report_progress("text features", 0, 5)
    assert said.getvalue() == "text features: 0 of 1,000\ntext features: 1,000 of 1,000\n"


def test_log_is_trimmed_to_the_step_it_resumes_at(tmp_path):
    log = tmp_path / "log.jsonl"
    assert read_log(log) == []
    lines = [json.dumps({"step": step, "a": 0.5 * step}) for step in (1, 1, 2, 3)]
    log.write_bytes("\n".join([*lines, '{"step": 3, "a": 1.', "[1]", '"x"']).encode() + b"\xff")
    assert [line["step"] for line in read_log(log)] == [1, 1, 2, 3]
    trim_log(tmp_path, 2)
    assert log.read_text().splitlines() == lines[:3]
