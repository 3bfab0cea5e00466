"""A run's folder: one trainer at a time, no litter, a log without half lines."""

from __future__ import annotations

import json

import pytest

from spae.errors import TrainingError
from spae.training.run_folder import check_unused, held, read_log, trim_log


def test_two_trainers_do_not_share_a_folder(tmp_path):
    folder = tmp_path / "run"
    with held(folder):
        with pytest.raises(TrainingError, match="in use by another trainer"), held(folder):
            pass
        with held(tmp_path / "other"):
            pass
    with held(folder):
        pass


def test_drafts_of_a_killed_trainer_go(tmp_path):
    (tmp_path / ".step-000004.safetensors.123.part").write_text("half")
    (tmp_path / "step-000002.safetensors").write_text("kept")
    with held(tmp_path):
        assert not list(tmp_path.glob(".*.part")) and (tmp_path / "step-000002.safetensors").exists()


def test_a_folder_with_checkpoints_is_not_begun_anew(tmp_path):
    check_unused(tmp_path)
    (tmp_path / "step-000002.safetensors").write_text("x")
    with pytest.raises(TrainingError, match="pass --resume, or --out another folder"):
        check_unused(tmp_path)


def test_the_log_is_cut_to_where_the_run_goes_on(tmp_path):
    log = tmp_path / "log.jsonl"
    assert read_log(log) == []
    lines = [json.dumps({"step": step, "a": 0.5 * step}) for step in (1, 1, 2, 3)]
    log.write_bytes("\n".join([*lines, '{"step": 3, "a": 1.', "[1]", '"x"']).encode() + b"\xff")
    assert [line["step"] for line in read_log(log)] == [1, 1, 2, 3]
    trim_log(tmp_path, 2)
    assert log.read_text().splitlines() == lines[:3]
