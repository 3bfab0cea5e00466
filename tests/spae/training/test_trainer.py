"""A run of six steps: interrupted, resumed, refused, and stopped by a non-finite loss."""

from __future__ import annotations

import io
import json

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from rich.console import Console
from safetensors.torch import load_file

from spae.errors import InputError, TrainingError
from spae.network_presets import NETWORKS
from spae.tokenizers.build import load_model
from spae.tokenizers.lexical import LexicalTokenizer
from spae.tokenizers.model_folder import load_config
from spae.training import data_source, word_scores
from spae.training import trainer as module
from spae.training.checkpoint import read_checkpoint, save_checkpoint
from spae.training.pictogram_data import PictogramData
from spae.training.trainer import Trainer


class Watched(PictogramData):
    """Pictograms that note the steps asked for, and are cut off or spoilt at a step of choice."""

    def __init__(self, pictograms, recipe, stop_at, spoil_at):
        super().__init__(batch=recipe.data.batch_size, size=32, frames=0, seed=0, strength=1.0, pictograms=pictograms)
        self.seen, self.stop_at, self.spoil_at = [], stop_at, spoil_at

    def sample(self, step, generator, rows=None):
        self.seen.append(step)
        if step == self.stop_at:
            raise KeyboardInterrupt
        batch = super().sample(step, generator, rows)
        if step == self.spoil_at:
            batch.images.fill_(float("nan"))
        return batch


@pytest.fixture
def train(monkeypatch, tiny, few_pictograms, recipe_of):
    """Runs a tiny recipe into a folder; text features are random directions."""

    def features(texts):
        generator = torch.Generator().manual_seed(len(texts))
        return torch.nn.functional.normalize(torch.randn(len(texts), 8, generator=generator), dim=1)

    monkeypatch.setattr(word_scores, "text_features", features)
    monkeypatch.setattr(module, "LOG_EVERY", 1)
    # The same network at a quarter of its filters.
    monkeypatch.setitem(NETWORKS, "picto", (8, (1, 2, 2, 4)))

    def run(folder, *, resume=False, stop_at=None, spoil_at=None, console=None, **fields):
        values = {"latent_scale": 1.0, "thresholds": (0.98, 0.9), "checkpoint_every": 2}
        recipe = recipe_of(**(values | fields))
        data = Watched(few_pictograms, recipe, stop_at, spoil_at)
        monkeypatch.setattr(data_source, "open_training_data", lambda *_, **__: data)
        return Trainer(recipe, folder, console or Console(file=io.StringIO())).run(resume), data.seen

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
        pytest.param({"decode_batch_size": 3, "evaluate_every": 1}, id="saq"),
        pytest.param({"quantizer": "vq", "thresholds": (), "latent_scale": 0.0, "evaluate_every": 1}, id="vq"),
        pytest.param(
            {"gan": "stylegan", "evaluate_every": 1, "target": "sampled", "gradient_accumulation_steps": 2}, id="gan"
        ),
    ],
)
def test_resumed_run_ends_as_an_uninterrupted_one(train, tmp_path, fields):
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


def test_files_of_a_finished_run(train, tmp_path, image_batch):
    scores, _ = train(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        ".lock", "config.json", "curves.png", "latest", "log.jsonl", "model.safetensors", "recipe.json", "samples",
        "step-000004.safetensors", "step-000006.safetensors", "tensorboard",
    }  # fmt: skip
    assert any((tmp_path / "tensorboard").iterdir())
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["step-000006.png"]
    assert {name.split("/")[0] for name in scores} == {"held_out_style", "held_out_concept"}
    assert all(f"held_out_{kind}/mse/layers_1-{n}" in scores for kind in ("style", "concept") for n in (1, 2, 3, 4))
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert recipe["optimizer"]["steps"] == 6 and load_config(tmp_path).latent_scale == 1.0
    weights = load_file(tmp_path / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}
    average = {name[4:]: value for name, value in state_of(tmp_path).items() if name.startswith("ema/")}
    assert all(value.half().equal(weights[name]) for name, value in average.items()) and set(average) == set(weights)
    assert not load_model(tmp_path).training
    (tokens,) = LexicalTokenizer.from_pretrained(tmp_path).encode([image_batch[0]])
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


def test_folder_with_a_run_is_not_overwritten(train, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop_at=2)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    with pytest.raises(TrainingError, match="holds checkpoints of a run: pass --resume, or --out another folder"):
        train(tmp_path)
    with pytest.raises(TrainingError, match=r"another recipe: optimizer.learning_rate was 0.001, now it is 0.5"):
        train(tmp_path, resume=True, learning_rate=0.5)
    assert len(before) == 1 and all(path.read_bytes() == value for path, value in before.items())


def test_resume_without_a_checkpoint_is_refused(train, tmp_path):
    with pytest.raises(TrainingError, match="run without --resume"):
        train(tmp_path, resume=True)


def test_non_finite_loss_stops_the_run_and_names_the_last_checkpoint(train, tmp_path):
    with pytest.raises(
        TrainingError, match=r"loss must be finite, got .* at step 3: .*step-000002.safetensors"
    ) as caught:
        train(tmp_path, spoil_at=3)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["step-000002.safetensors"]
    assert all(value.isfinite().all() for value in load_file(tmp_path / "step-000002.safetensors").values())
    _, steps = train(tmp_path, resume=True)
    assert steps == [2, 3, 4, 5], "and can go on"


def test_run_starts_from_the_weights_of_a_checkpoint(train, tmp_path):
    train(tmp_path / "first", steps=2)
    train(
        tmp_path / "second", steps=2, init_from=str(tmp_path / "first" / "step-000002.safetensors"), learning_rate=1e-9
    )
    ours, theirs = (load_file(tmp_path / name / "step-000002.safetensors") for name in ("second", "first"))
    name = "autoencoder.encoder.layers.0.weight"
    assert ours[f"model/{name}"].allclose(theirs[f"ema/{name}"], atol=1e-7)
    assert not ours[f"model/{name}"].allclose(theirs[f"model/{name}"], atol=1e-7)


def test_stalled_discriminator_stops_the_run(train, tmp_path):
    with pytest.raises(TrainingError, match=r"stalled: for 2 steps .*the last good checkpoint is .*step-0000"):
        # Any loss counts as small, and a discriminator soon beats a generator that stands still.
        train(tmp_path, gan="stylegan", learning_rate=1e-9, discriminator_lr=0.01, r1_weight=0.0, stall_steps=2,
              stall_loss=1e9, steps=60, warmup_steps=0, checkpoint_every=1)  # fmt: skip


def test_torn_checkpoint_is_reported_and_skipped(train, tmp_path):
    train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", stop_at=5)
    newest = tmp_path / "cut" / "step-000004.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    said = io.StringIO()
    _, steps = train(tmp_path / "cut", resume=True, console=Console(file=said))
    assert steps == [2, 3, 4, 5] and "step-000004.safetensors is damaged" in said.getvalue().replace("\n", "")
    ours, theirs = state_of(tmp_path / "cut"), state_of(tmp_path / "whole")
    assert all(value.equal(theirs[name]) for name, value in ours.items())


def test_checkpoint_of_another_shape_is_refused(train, tmp_path):
    train(tmp_path, steps=2)
    path = tmp_path / "step-000002.safetensors"
    recipe, step, groups = read_checkpoint(path)
    del groups["model"]["autoencoder.encoder.layers.0.weight"]
    save_checkpoint(tmp_path, step, recipe, groups)
    with pytest.raises(TrainingError, match=r"step 2 does not fit this version .*layers.0.weight"):
        train(tmp_path, steps=2, resume=True)


def test_accumulation_gives_the_gradient_of_the_whole_batch(train, tmp_path):
    """Without a norm of latents and with a constant weight nothing in the loss is a figure of the batch."""
    fields = {"latent_scale": 0.0, "dynamic_weight": False, "steps": 4, "gan": "stylegan", "lecam_weight": 0.0}
    for name, parts in (("once", 1), ("parts", 4)):
        train(tmp_path / name, gradient_accumulation_steps=parts, target="sampled", **fields)
    once, parts = (log_of(tmp_path / name) for name in ("once", "parts"))
    for one, other in zip(once, parts, strict=True):
        # The number of words that a microbatch uses is no mean.
        compared = {name for name in one if name not in ("train/words_used", "train/mse_all_layers")}
        expected = {name: other[name] for name in compared}
        assert {name: one[name] for name in compared} == pytest.approx(expected, rel=5e-4, abs=5e-6)
    ours, theirs = (load_file(tmp_path / name / "step-000004.safetensors") for name in ("parts", "once"))
    name = "discriminator/first.weight"
    assert ours[name].allclose(theirs[name], atol=1e-5) and not ours[name].equal(torch.zeros_like(ours[name]))


def test_batches_that_do_not_divide_are_refused(recipe_of):
    with pytest.raises(InputError, match="divisible by gradient_accumulation_steps 3"):
        recipe_of(gradient_accumulation_steps=3)


def test_bfloat16_runs_too(train, tmp_path):
    scores, _ = train(tmp_path, precision="bf16", steps=2)
    assert all(torch.tensor(value).isfinite() for value in scores.values())


def test_fp16_resumes_with_its_loss_scale(train, tmp_path):
    fields = {"precision": "fp16", "steps": 4, "gan": "stylegan", "evaluate_every": 99}
    train(tmp_path / "whole", **fields)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", stop_at=3, **fields)
    train(tmp_path / "cut", resume=True, **fields)
    ours, theirs = (load_file(tmp_path / name / "step-000004.safetensors") for name in ("cut", "whole"))
    assert all(value.equal(theirs[name]) for name, value in ours.items())
    assert ours["scaler/scale"] > 1 and ours["model/autoencoder.encoder.layers.0.weight"].isfinite().all()
