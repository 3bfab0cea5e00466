"""A run of six steps: interrupted, resumed, refused, and stopped by a loss that is no number."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from rich.console import Console
from safetensors.torch import load_file

from spae.errors import TrainingError
from spae.networks.autoencoder import NETWORKS
from spae.tokenizers.build import load_config, load_model
from spae.tokenizers.lexical import LexicalTokenizer
from spae.training import evaluate
from spae.training import trainer as module
from spae.training.pictures import PictogramBatches
from spae.training.trainer import Trainer


@dataclass(frozen=True)
class Watched(PictogramBatches):
    """Batches that note the steps asked for, and are cut off or spoilt at a step of choice."""

    seen: list[int] = field(default_factory=list)
    stop_at: int | None = None
    spoil_at: int | None = None

    def at(self, step, generator):
        self.seen.append(step)
        if step == self.stop_at:
            raise KeyboardInterrupt
        pictures, labels = super().at(step, generator)
        return (pictures * float("nan") if step == self.spoil_at else pictures), labels


@pytest.fixture
def train(monkeypatch, tiny, few_pictograms, recipe_of):
    """Runs a tiny recipe into a folder; text features are random directions."""

    def features(texts):
        generator = torch.Generator().manual_seed(len(texts))
        return torch.nn.functional.normalize(torch.randn(len(texts), 8, generator=generator), dim=1)

    monkeypatch.setattr(evaluate, "text_features", features)
    monkeypatch.setattr(module, "LOG_EVERY", 1)
    # The same network at a quarter of its filters.
    monkeypatch.setitem(NETWORKS, "picto", (8, (1, 2, 2, 4)))

    def run(folder, *, resume=False, stop_at=None, spoil_at=None, **fields):
        values = {"latent_spread": 1.0, "thresholds": (0.98, 0.9), "checkpoint_every": 2}
        recipe = recipe_of(**(values | fields))
        batches = Watched(few_pictograms, recipe.batch, recipe.size, recipe.seed, recipe.augment, [], stop_at, spoil_at)
        monkeypatch.setattr(module, "open_pictograms", lambda *_: batches)
        console = Console(file=io.StringIO())
        return Trainer(recipe, folder, console).run(resume), batches.seen

    yield run
    # accelerate keeps one state a process, which would hold the next test to this one's precision.
    AcceleratorState._reset_state()
    PartialState._reset_state()


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def steps_logged(folder):
    """Each step has a line of training and one of evaluation."""
    steps = [line["step"] for line in log_of(folder)]
    assert steps[::2] == steps[1::2]
    return steps[::2]


def state_of(folder):
    return load_file(folder / "step-000006.safetensors")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"drawn": 3, "evaluate_every": 1}, id="saq"),
        pytest.param({"quantizer": "vq", "thresholds": (), "latent_spread": 0.0, "evaluate_every": 1}, id="vq"),
    ],
)
def test_a_run_killed_and_resumed_ends_as_one_left_alone(train, tmp_path, fields):
    whole, steps = train(tmp_path / "whole", **fields)
    assert steps == [0, 1, 2, 3, 4, 5]
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", stop_at=5, **fields)
    assert steps_logged(tmp_path / "cut") == [1, 2, 3, 4, 5], "one step past the checkpoint"
    resumed, steps = train(tmp_path / "cut", resume=True, **fields)
    assert steps == [4, 5] and resumed == whole
    assert log_of(tmp_path / "cut") == log_of(tmp_path / "whole")
    assert steps_logged(tmp_path / "cut") == [1, 2, 3, 4, 5, 6]
    ours, theirs = state_of(tmp_path / "cut"), state_of(tmp_path / "whole")
    assert set(ours) == set(theirs) and all(value.equal(theirs[name]) for name, value in ours.items())
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("cut", "whole")]
    assert models[0] == models[1]


def test_what_a_run_leaves(train, tmp_path, picture_batch):
    scores, _ = train(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "config.json", "log.jsonl", "model.safetensors", "recipe.json", "tensorboard",
        "step-000004.safetensors", "step-000006.safetensors",
    }  # fmt: skip
    assert any((tmp_path / "tensorboard").iterdir())
    assert {name.split("/")[0] for name in scores} == {"held_out_style", "held_out_concept"}
    assert all(f"held_out_{kind}/mse/layers_1-{n}" in scores for kind in ("style", "concept") for n in (1, 2, 3, 4))
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert recipe["steps"] == 6 and load_config(tmp_path)["latent_spread"] == 1.0
    weights = load_file(tmp_path / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}
    average = {name[4:]: value for name, value in state_of(tmp_path).items() if name.startswith("ema/")}
    assert all(value.half().equal(weights[name]) for name, value in average.items()) and set(average) == set(weights)
    assert not load_model(tmp_path).training
    (tokens,) = LexicalTokenizer.from_pretrained(tmp_path).encode([picture_batch[0]])
    assert [len(layer) for layer in tokens.words] == [1, 4, 16, 16]


def test_training_moves_weights_and_its_average_follows(train, tmp_path, recipe_of, tiny):
    train(tmp_path)
    state = state_of(tmp_path)
    name = "autoencoder.encoder.layers.0.weight"
    torch.manual_seed(0)
    start = module.build_model(load_config(tmp_path), tiny).state_dict()[name]
    moved = (state[f"model/{name}"] - start).norm()
    behind = (state[f"model/{name}"] - state[f"ema/{name}"]).norm()
    assert moved > 0 and 0 < behind < moved


def test_a_folder_with_a_run_is_not_overwritten(train, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop_at=2)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    with pytest.raises(TrainingError, match="holds checkpoints of a run: pass --resume, or --out another folder"):
        train(tmp_path)
    with pytest.raises(TrainingError, match="made by another recipe"):
        train(tmp_path, resume=True, learning_rate=0.5)
    assert len(before) == 1 and all(path.read_bytes() == value for path, value in before.items())


def test_nothing_to_resume_is_said(train, tmp_path):
    with pytest.raises(TrainingError, match="run without --resume"):
        train(tmp_path, resume=True)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(train, tmp_path):
    with pytest.raises(TrainingError, match=r"loss must be finite, got .* at step 3: .*--resume") as caught:
        train(tmp_path, spoil_at=3)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["step-000002.safetensors"]
    assert all(value.isfinite().all() for value in load_file(tmp_path / "step-000002.safetensors").values())
    _, steps = train(tmp_path, resume=True)
    assert steps == [2, 3, 4, 5], "and can go on"


def test_bfloat16_runs_too(train, tmp_path):
    scores, _ = train(tmp_path, precision="bf16", steps=2)
    assert all(torch.tensor(value).isfinite() for value in scores.values())
