"""Checkpoints: all of the state, whole files, and nobody else's."""

from __future__ import annotations

import json

import pytest
import torch

from spae.errors import TrainingError
from spae.training import checkpoint
from spae.training.checkpoint import (
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    write_json,
)


def stepped(model, optimizer, seed):
    """One optimizer step on data of its own."""
    data = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    model(data).square().sum().backward()
    optimizer.step()


def made():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2))
    return model, torch.optim.AdamW(model.parameters(), lr=0.01, betas=(0.9, 0.99), weight_decay=0.01)


def test_a_restored_run_goes_on_bit_for_bit(tmp_path):
    model, optimizer = made()
    names = [name for name, _ in model.named_parameters()]
    for seed in range(3):
        stepped(model, optimizer, seed)
    average = {"a/b.c": torch.ones(2).half()}
    moments = optimizer_tensors(optimizer, names)
    save_checkpoint(tmp_path, 3, "print", {"model": model.state_dict(), "ema": average, "optimizer": moments})
    stepped(model, optimizer, 3)

    other, other_optimizer = made()
    step, read = load_checkpoint(tmp_path, "print")
    assert step == 3 and set(read) == {"model", "ema", "optimizer"}
    assert list(read["ema"]) == ["a/b.c"] and read["ema"]["a/b.c"].dtype == torch.float16
    other.load_state_dict(read["model"])
    restore_optimizer(other_optimizer, names, read["optimizer"])
    stepped(other, other_optimizer, 3)
    assert all(value.equal(model.state_dict()[name]) for name, value in other.state_dict().items())


def test_an_optimizer_that_starts_anew_would_end_elsewhere(tmp_path):
    """So that the test above can fail."""
    model, optimizer = made()
    stepped(model, optimizer, 0)
    fresh, fresh_optimizer = made()
    fresh.load_state_dict(model.state_dict())
    stepped(model, optimizer, 1)
    stepped(fresh, fresh_optimizer, 1)
    assert not fresh[0].weight.equal(model[0].weight)


def save(folder, step, recipe="print"):
    return save_checkpoint(folder, step, recipe, {"model": {"w": torch.tensor(float(step))}})


def test_the_newest_two_are_kept_and_the_newest_is_read(tmp_path):
    for step in (100, 200, 1000, 1100):
        save(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-001000.safetensors", "step-001100.safetensors"]
    assert load_checkpoint(tmp_path, "print") == (1100, {"model": {"w": torch.tensor(1100.0)}})


def test_no_checkpoint_and_another_recipes_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="holds no checkpoint to resume from: run without --resume"):
        load_checkpoint(tmp_path, "print")
    save(tmp_path, 5, recipe="a" * 64)
    with pytest.raises(TrainingError, match=r"made by another recipe \(aaaaaaaaaaaa, this is bbbbbbbbbbbb\)"):
        load_checkpoint(tmp_path, "b" * 64)


def test_a_write_that_fails_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 1)
    save(tmp_path, 2)

    def fails(tensors, path, header):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "save_file", fails)
    with pytest.raises(OSError, match="disk full"):
        save(tmp_path, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000001.safetensors", "step-000002.safetensors"]
    assert load_checkpoint(tmp_path, "print")[0] == 2


def test_json_is_written_whole(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, 2.5], "a": None})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": [1, 2.5]}
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"b": object()})
    assert json.loads((tmp_path / "a.json").read_text())["b"] == [1, 2.5] and len(list(tmp_path.iterdir())) == 1
