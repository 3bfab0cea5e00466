"""A run's folder: one trainer at a time, and checkpoints that hold all of the state in whole files."""

from __future__ import annotations

import os

import pytest
import torch

from spae.errors import TrainingError
from spae.training import checkpoint
from spae.training.checkpoint import (
    NO_CHECKPOINT,
    changes,
    check_resumable,
    check_unused,
    checkpoints,
    last_good,
    load_checkpoint,
    locked,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    set_aside,
)

RECIPE = {"name": "a", "optimizer": {"steps": 9, "betas": [0.9, 0.99]}}


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


def test_restored_run_continues_bit_for_bit(tmp_path):
    model, optimizer = made()
    names = [name for name, _ in model.named_parameters()]
    for seed in range(3):
        stepped(model, optimizer, seed)
    average = {"a/b.c": torch.ones(2).half(), "bits": torch.ones(3, dtype=torch.bfloat16), "one": torch.tensor(2.0)}
    moments = optimizer_tensors(optimizer, names)
    save_checkpoint(tmp_path, 3, RECIPE, {"model": model.state_dict(), "ema": average, "optimizer": moments})
    stepped(model, optimizer, 3)

    other, other_optimizer = made()
    step, read = load_checkpoint(tmp_path, RECIPE)
    assert step == 3 and set(read) == {"model", "ema", "optimizer"}
    assert set(read["ema"]) == set(average) and read["ema"]["a/b.c"].dtype == torch.float16
    other.load_state_dict(read["model"])
    restore_optimizer(other_optimizer, names, read["optimizer"])
    stepped(other, other_optimizer, 3)
    assert all(value.equal(model.state_dict()[name]) for name, value in other.state_dict().items())


def test_optimizer_without_its_state_ends_elsewhere(tmp_path):
    """So that the test above can fail."""
    model, optimizer = made()
    stepped(model, optimizer, 0)
    fresh, fresh_optimizer = made()
    fresh.load_state_dict(model.state_dict())
    stepped(model, optimizer, 1)
    stepped(fresh, fresh_optimizer, 1)
    assert not fresh[0].weight.equal(model[0].weight)


def save(folder, step, recipe=RECIPE, keep=2):
    return save_checkpoint(folder, step, recipe, {"model": {"w": torch.full((64,), float(step))}}, keep)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_few_are_kept_and_the_newest_is_read(tmp_path, keep):
    for step in (100, 200, 1000, 1_000_100):
        save(tmp_path, step, keep=keep)
    kept = ["step-000200.safetensors", "step-001000.safetensors", "step-1000100.safetensors"][-keep:]
    assert names_in(tmp_path) == sorted(["latest", *kept])
    assert (tmp_path / "latest").read_text() == "step-1000100.safetensors\n"
    assert last_good(tmp_path).endswith("step-1000100.safetensors")
    step, groups = load_checkpoint(tmp_path, RECIPE)
    assert step == 1_000_100 and groups["model"]["w"][0] == 1_000_100


def test_missing_checkpoint_and_a_recipe_that_cannot_continue_are_refused(tmp_path):
    assert last_good(tmp_path) == NO_CHECKPOINT
    for read in (load_checkpoint, check_resumable):
        with pytest.raises(TrainingError, match="holds no checkpoint to resume from: run without --resume"):
            read(tmp_path, RECIPE)
    save(tmp_path, 5)
    longer = RECIPE | {"optimizer": {"steps": 12, "betas": [0.9, 0.99]}}
    for read in (load_checkpoint, check_resumable):
        read(tmp_path, longer)
        with pytest.raises(TrainingError, match=r'name was "a", now it is "b", which a run cannot change'):
            read(tmp_path, RECIPE | {"name": "b"})
        for other in (RECIPE | {"more": 1}, {"name": "a", "optimizer": {"steps": 9}}):
            with pytest.raises(TrainingError, match=r"another version .* differ in (more|optimizer.betas)"):
                read(tmp_path, other)
    with pytest.raises(TrainingError, match=r"is of step 5, optimizer.steps is 4: ask for more"):
        check_resumable(tmp_path, RECIPE | {"optimizer": {"steps": 4, "betas": [0.9, 0.99]}})
    assert changes(tmp_path, 5, longer) == {"optimizer.steps": (9, 12)}


@pytest.mark.parametrize(
    ("field", "value", "continues"),
    [
        ("optimizer.learning_rate", 0.5, True), ("optimizer.precision", "bf16", True), ("data.batch_size", 8, True),
        ("data.source", "mnist", True), ("semantics.semantic_weight", 2.0, True), ("logging.checkpoint_every", 7, True),
        ("optimizer.seed", 4, True), ("model.latent_scale", 2.0, False), ("model.pyramid", "mnist", False),
        ("appearance.gan", "stylegan", False), ("name", "other", False),
    ],
)  # fmt: skip
def test_what_a_resumed_run_may_change(tmp_path, recipe_of, field, value, continues):
    recipe = recipe_of(latent_scale=1.0)
    save(tmp_path, 5, recipe.model_dump(mode="json"))
    other = recipe.replace({field: value}).model_dump(mode="json")
    if continues:
        check_resumable(tmp_path, other)
        assert list(changes(tmp_path, 5, other)) == [field]
    else:
        with pytest.raises(TrainingError, match=rf"another recipe: {field} was .* which a run cannot change"):
            check_resumable(tmp_path, other)


def torn(path):
    path.write_bytes(path.read_bytes()[:-40])


def empty(path):
    path.write_bytes(b"")


def flipped(path):
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(bytes(raw))


def foreign(path):
    path.write_bytes(b"no checkpoint at all, but long enough to hold a header of some kind")


@pytest.mark.parametrize("damage", [torn, empty, flipped, foreign])
def test_a_damaged_newest_one_is_named_and_the_one_before_is_used(tmp_path, damage):
    save(tmp_path, 1)
    damage(save(tmp_path, 2))
    warnings = []
    assert load_checkpoint(tmp_path, RECIPE, warnings.append)[0] == 1
    assert len(warnings) == 1 and "step-000002.safetensors is damaged" in warnings[0] and "\n" not in warnings[0]
    assert [path.name for path in set_aside(tmp_path, 1)] == ["step-000002.damaged"]
    save(tmp_path, 3, keep=1)
    assert names_in(tmp_path) == ["latest", "step-000002.damaged", "step-000003.safetensors"]
    damage(tmp_path / "step-000003.safetensors")
    with pytest.raises(TrainingError, match="damaged checkpoints only, step-000003"):
        load_checkpoint(tmp_path, RECIPE)


def test_a_write_that_fails_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def fails(tensors, path, header):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "save_file", fails)
    with pytest.raises(OSError, match="disk full"):
        save(tmp_path, 3)
    assert names_in(tmp_path) == ["latest", "step-000001.safetensors"]
    assert load_checkpoint(tmp_path, RECIPE)[0] == 1


def test_files_are_synced_before_they_have_their_name(tmp_path, monkeypatch):
    """Written, synced, named, and the folder synced, in this order; then `latest` likewise."""
    seen = []
    real_sync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (seen.append("sync"), real_sync(number)))
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append(os.path.basename(b)), real_replace(a, b)))
    save(tmp_path, 7)
    assert seen == ["sync", "step-000007.safetensors", "sync", "sync", "latest", "sync"]


def test_other_files_are_no_checkpoints(tmp_path):
    for name in ("step-a.safetensors", "step-.safetensors", "model.safetensors", ".step-000001.safetensors.9.part"):
        (tmp_path / name).write_text("x")
    assert checkpoints(tmp_path) == []


def test_two_trainers_cannot_share_a_folder(tmp_path):
    folder = tmp_path / "run"
    with locked(folder):
        with pytest.raises(TrainingError, match="in use by another trainer"), locked(folder):
            pass
        with locked(tmp_path / "other"):
            pass
    with locked(folder):
        pass


def test_drafts_of_a_killed_trainer_are_deleted(tmp_path):
    (tmp_path / ".step-000004.safetensors.123.part").write_text("half")
    (tmp_path / "step-000002.safetensors").write_text("kept")
    with locked(tmp_path):
        assert not list(tmp_path.glob(".*.part")) and (tmp_path / "step-000002.safetensors").exists()


def test_folder_with_checkpoints_is_refused(tmp_path):
    check_unused(tmp_path)
    (tmp_path / "step-000002.safetensors").write_text("x")
    with pytest.raises(TrainingError, match="pass --resume, or --out another folder"):
        check_unused(tmp_path)
