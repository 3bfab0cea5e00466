"""A run of six steps: interrupted, resumed, refused, and stopped by a non-finite loss."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from rich.console import Console
from safetensors import SafetensorError
from safetensors.torch import load_file

from spae.errors import InputError, TrainingError, WeightsError
from spae.network_presets import NETWORKS
from spae.tokenizers.build import load_model
from spae.tokenizers.lexical import LexicalTokenizer
from spae.tokenizers.model_folder import load_config
from spae.training import data_source, word_scores
from spae.training import trainer as module
from spae.training.checkpoint import checkpoints, read_checkpoint, save_checkpoint
from spae.training.interruption import Interrupted
from spae.training.log import RunLog
from spae.training.pictogram_data import PictogramData
from spae.training.trainer import Trainer
from spae.vocabulary import VOCABULARIES
from tests.spae.conftest import tiny_recipe


class Watched(PictogramData):
    """Pictograms that note the steps asked for, and are cut off, signalled or spoilt at a step of choice."""

    def __init__(self, pictograms, recipe, stop_at, spoil_at, signal_at):
        super().__init__(batch=recipe.data.batch_size, size=32, frames=0, seed=0, strength=1.0, pictograms=pictograms)
        self.seen, self.stop_at, self.spoil_at, self.signal_at = [], stop_at, spoil_at, signal_at or {}

    def sample(self, step, generator, rows=None):
        self.seen.append(step)
        if step == self.stop_at:
            raise KeyboardInterrupt
        for number in self.signal_at.get(step, ()):
            os.kill(os.getpid(), number)
        batch = super().sample(step, generator, rows)
        if step == self.spoil_at:
            batch.images.fill_(float("nan"))
        return batch


@pytest.fixture(scope="module")
def train(tiny_words, few_pictograms):
    """Runs a tiny recipe into a folder; text features are random directions."""

    def features(texts):
        generator = torch.Generator().manual_seed(len(texts))
        return torch.nn.functional.normalize(torch.randn(len(texts), 8, generator=generator), dim=1)

    def run(folder, *, resume=False, stop_at=None, spoil_at=None, signal_at=None, console=None, curves=False, **fields):
        values = {"latent_scale": 1.0, "thresholds": (0.98, 0.9), "checkpoint_every": 2}
        recipe = tiny_recipe(**(values | fields))
        data = Watched(few_pictograms, recipe, stop_at, spoil_at, signal_at)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(VOCABULARIES, "tiny", lambda: tiny_words)
            patch.setattr(word_scores, "text_features", features)
            patch.setattr(module, "LOG_EVERY", 1)
            # The same network at a quarter of its filters.
            patch.setitem(NETWORKS, "picto", (8, (1, 2, 2, 4)))
            patch.setattr(data_source, "open_training_data", lambda *_, **__: data)
            if not curves:  # they take longer than all of the steps
                patch.setattr(module, "write_curves", lambda log, path: None)
            return Trainer(recipe, folder, console or Console(file=io.StringIO())).run(resume), data.seen

    yield run
    # accelerate keeps one state a process, which would hold the next test to this one's precision.
    AcceleratorState._reset_state()
    PartialState._reset_state()


@pytest.fixture(scope="module")
def finished(train, tmp_path_factory):
    """A run of six steps, and its scores; to be read only."""
    folder = tmp_path_factory.mktemp("finished")
    scores, _ = train(folder, curves=True)
    return folder, scores


@pytest.fixture
def copy_of(finished, tmp_path):
    """A copy of it to change."""
    return shutil.copytree(finished[0], tmp_path / "copy")


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def steps_logged(folder):
    """Each step has a line of training and one of evaluation."""
    steps = [line["step"] for line in log_of(folder)]
    assert steps[::2] == steps[1::2]
    return steps[::2]


def state_of(folder, step=6):
    return load_file(folder / f"step-{step:06d}.safetensors")


def same_state(one, other, step):
    ours, theirs = state_of(one, step), state_of(other, step)
    return set(ours) == set(theirs) and all(value.equal(theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"decode_batch_size": 3}, id="saq"),
        pytest.param({"quantizer": "vq", "thresholds": (), "latent_scale": 0.0}, id="vq"),
        pytest.param({"gan": "stylegan", "target": "sampled", "gradient_accumulation_steps": 2}, id="gan"),
    ],
)
def test_resumed_run_ends_as_an_uninterrupted_one(train, tmp_path, fields):
    fields |= {"steps": 4, "evaluate_every": 1}
    whole, steps = train(tmp_path / "whole", **fields)
    assert steps == [0, 1, 2, 3]
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", stop_at=3, **fields)
    assert steps_logged(tmp_path / "cut") == [1, 2, 3], "one step past the checkpoint"
    resumed, steps = train(tmp_path / "cut", resume=True, **fields)
    assert steps == [2, 3] and resumed == whole
    assert log_of(tmp_path / "cut") == log_of(tmp_path / "whole")
    assert steps_logged(tmp_path / "cut") == [1, 2, 3, 4]
    assert same_state(tmp_path / "cut", tmp_path / "whole", 4)
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("cut", "whole")]
    assert models[0] == models[1]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_finishes_the_step_and_saves_it_before_the_first_checkpoint_too(train, tmp_path, finished, number):
    before = signal.getsignal(number)
    said = io.StringIO()
    with pytest.raises(Interrupted, match=rf"stopped by {number.name}: the state after 1 of 6 steps is saved") as stop:
        train(tmp_path, signal_at={0: [number]}, console=Console(file=said), checkpoint_every=6)
    assert stop.value.signal == number and signal.getsignal(number) is before
    assert f"{number.name}: the step under way is finished and saved (again to stop at once)" in said.getvalue()
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000001.safetensors"]
    if number == signal.SIGTERM:
        scores, steps = train(tmp_path, resume=True, checkpoint_every=6)
        assert steps == [1, 2, 3, 4, 5] and scores == finished[1]
        assert same_state(tmp_path, finished[0], 6)


def test_second_signal_stops_at_once_and_names_the_last_good_checkpoint(train, tmp_path):
    with pytest.raises(Interrupted, match=r"the last good checkpoint is .*step-000002.safetensors, --resume"):
        train(tmp_path, signal_at={3: [signal.SIGINT, signal.SIGINT]})
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000002.safetensors"]


def test_signal_before_the_first_step_stops_at_once(train, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "open_scores", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="none: the run has written none yet"):
        train(tmp_path)


def test_finished_run_is_extended(train, copy_of):
    said = io.StringIO()
    _, steps = train(copy_of, resume=True, steps=8, learning_rate=5e-4, console=Console(file=said, width=200))
    assert steps == [6, 7] and (copy_of / "step-000008.safetensors").exists()
    assert "from step 6 on optimizer.steps is 8, before it was 6" in said.getvalue()
    changed = [json.loads(line) for line in (copy_of / "changes.jsonl").read_text().splitlines()]
    assert changed[0] == {"step": 6, "field": "optimizer.steps", "before": 6, "now": 8}
    assert [one["field"] for one in changed] == ["optimizer.steps", "optimizer.learning_rate"]
    assert json.loads((copy_of / "recipe.json").read_text())["optimizer"]["steps"] == 8
    with pytest.raises(TrainingError, match=r"is of step 8, optimizer.steps is 6: ask for more"):
        train(copy_of, resume=True)


@pytest.mark.parametrize("failing", ["save_checkpoint", "write"])
def test_full_disk_is_one_line_and_keeps_the_last_good_checkpoint(train, tmp_path, monkeypatch, failing):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    def save(folder, step, *rest):
        if step > 2:
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        return save_checkpoint(folder, step, *rest)

    if failing == "save_checkpoint":
        monkeypatch.setattr(module, failing, save)
    else:
        monkeypatch.setattr(RunLog, failing, lambda log, step, values: full() if step > 2 else None)
    message = r"training cannot go on, .*No space left on device.*; the last good checkpoint is .*step-000002\.safe"
    with pytest.raises(TrainingError, match=message) as caught:
        train(tmp_path)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    _, steps = train(tmp_path, resume=True)
    assert steps == [2, 3, 4, 5]


def test_word_features_come_after_all_that_can_fail(train, tmp_path, monkeypatch):
    """Minutes of work are not spent on a run that cannot begin."""
    monkeypatch.setattr(module, "open_scores", lambda *_: pytest.fail("words were scored"))
    with pytest.raises(WeightsError, match="init_from must be a folder"):
        train(tmp_path / "a", init_from="gone")
    with pytest.raises(WeightsError, match="there is no weights file"):
        train(tmp_path / "b", perceptual="resnet50", perceptual_file="gone.pth")
    with pytest.raises(TrainingError, match="holds no checkpoint"):
        train(tmp_path / "c", resume=True)
    (tmp_path / "d").write_text("a file")
    with pytest.raises(TrainingError, match=r"training cannot go on, .*File exists"):
        train(tmp_path / "d")


def test_without_a_terminal_progress_is_lines(train, tmp_path):
    said = io.StringIO()
    train(tmp_path, steps=2, console=Console(file=said))
    line = next(line for line in said.getvalue().splitlines() if "2/2 steps" in line)
    assert line.startswith("tiny: 2/2 steps, ") and "images/s, 0:00:00 left, mse " in line


def test_files_of_a_finished_run(finished, image_batch, monkeypatch, tiny):
    monkeypatch.setitem(NETWORKS, "picto", (8, (1, 2, 2, 4)))
    folder, scores = finished
    names = {path.name for path in folder.iterdir()}
    assert names == {
        ".lock", "config.json", "curves.png", "latest", "log.jsonl", "model.safetensors", "recipe.json", "samples",
        "step-000004.safetensors", "step-000006.safetensors", "tensorboard",
    }  # fmt: skip
    assert any((folder / "tensorboard").iterdir())
    assert [path.name for path in (folder / "samples").iterdir()] == ["step-000006.png"]
    assert {name.split("/")[0] for name in scores} == {"held_out_style", "held_out_concept"}
    assert all(f"held_out_{kind}/mse/layers_1-{n}" in scores for kind in ("style", "concept") for n in (1, 2, 3, 4))
    recipe = json.loads((folder / "recipe.json").read_text())
    assert recipe["optimizer"]["steps"] == 6 and load_config(folder).latent_scale == 1.0
    weights = load_file(folder / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}
    average = {name[4:]: value for name, value in state_of(folder).items() if name.startswith("ema/")}
    assert all(value.half().equal(weights[name]) for name, value in average.items()) and set(average) == set(weights)
    assert not load_model(folder).training
    (tokens,) = LexicalTokenizer.from_pretrained(folder).encode([image_batch[0]])
    assert [len(layer) for layer in tokens.words] == [1, 4, 16, 16]


def test_training_moves_weights_and_its_average_follows(finished, monkeypatch, tiny):
    monkeypatch.setitem(NETWORKS, "picto", (8, (1, 2, 2, 4)))
    folder, _ = finished
    state = state_of(folder)
    name = "autoencoder.encoder.layers.0.weight"
    torch.manual_seed(0)
    start = module.build_model(load_config(folder), tiny).state_dict()[name]
    moved = (state[f"model/{name}"] - start).norm()
    behind = (state[f"model/{name}"] - state[f"ema/{name}"]).norm()
    assert moved > 0 and 0 < behind < moved


def test_folder_with_a_run_is_not_overwritten(train, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop_at=2)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    with pytest.raises(TrainingError, match="holds checkpoints of a run: pass --resume, or --out another folder"):
        train(tmp_path)
    with pytest.raises(TrainingError, match=r"another recipe: model.latent_scale was 1.0, now it is 2.0, which a run"):
        train(tmp_path, resume=True, latent_scale=2.0)
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


def test_run_starts_from_the_weights_of_a_checkpoint(train, finished, tmp_path):
    first = finished[0] / "step-000006.safetensors"
    train(tmp_path, steps=1, init_from=str(first), learning_rate=1e-9)
    ours, theirs = load_file(tmp_path / "step-000001.safetensors"), load_file(first)
    name = "autoencoder.encoder.layers.0.weight"
    assert ours[f"model/{name}"].allclose(theirs[f"ema/{name}"], atol=1e-7)
    assert not ours[f"model/{name}"].allclose(theirs[f"model/{name}"], atol=1e-7)


def test_stalled_discriminator_stops_the_run(train, tmp_path):
    with pytest.raises(TrainingError, match=r"stalled: for 2 steps .*the last good checkpoint is .*step-0000"):
        # Any loss counts as small, and a discriminator soon beats a generator that stands still.
        train(tmp_path, gan="stylegan", learning_rate=1e-9, discriminator_lr=0.01, r1_weight=0.0, stall_steps=2,
              stall_loss=1e9, steps=60, warmup_steps=0, checkpoint_every=1)  # fmt: skip


def test_torn_checkpoint_is_reported_and_skipped(train, finished, copy_of):
    newest = copy_of / "step-000006.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    said = io.StringIO()
    _, steps = train(copy_of, resume=True, console=Console(file=said))
    assert steps == [4, 5] and "step-000006.safetensors is damaged" in said.getvalue().replace("\n", "")
    assert same_state(copy_of, finished[0], 6)


def test_checkpoint_of_another_shape_is_refused(train, copy_of):
    recipe, step, groups = read_checkpoint(copy_of / "step-000006.safetensors")
    del groups["model"]["autoencoder.encoder.layers.0.weight"]
    save_checkpoint(copy_of, step, recipe, groups)
    with pytest.raises(TrainingError, match=r"step 6 does not fit this version .*layers.0.weight"):
        train(copy_of, resume=True)


def test_accumulation_gives_the_gradient_of_the_whole_batch(train, tmp_path):
    """Without a norm of latents and with a constant weight nothing in the loss is a figure of the batch."""
    fields = {"latent_scale": 0.0, "dynamic_weight": False, "steps": 2, "gan": "stylegan", "lecam_weight": 0.0}
    for name, parts in (("once", 1), ("parts", 4)):
        train(tmp_path / name, gradient_accumulation_steps=parts, target="sampled", **fields)
    once, parts = (log_of(tmp_path / name) for name in ("once", "parts"))
    for one, other in zip(once, parts, strict=True):
        # The number of words that a microbatch uses is no mean.
        compared = {name for name in one if name not in ("train/words_used", "train/mse_all_layers")}
        expected = {name: other[name] for name in compared}
        assert {name: one[name] for name in compared} == pytest.approx(expected, rel=5e-4, abs=5e-6)
    ours, theirs = (load_file(tmp_path / name / "step-000002.safetensors") for name in ("parts", "once"))
    name = "discriminator/first.weight"
    assert ours[name].allclose(theirs[name], atol=1e-5) and not ours[name].equal(torch.zeros_like(ours[name]))


def test_batches_that_do_not_divide_are_refused(recipe_of):
    with pytest.raises(InputError, match="divisible by gradient_accumulation_steps 3"):
        recipe_of(gradient_accumulation_steps=3)


def test_bfloat16_runs_too(train, tmp_path):
    scores, _ = train(tmp_path, precision="bf16", steps=1)
    assert all(torch.tensor(value).isfinite() for value in scores.values())


def test_fp16_resumes_with_its_loss_scale(train, tmp_path):
    fields = {"precision": "fp16", "steps": 2, "gan": "stylegan", "evaluate_every": 99, "batch_size": 2}
    fields |= {"decode_batch_size": 2, "checkpoint_every": 1}
    train(tmp_path / "whole", **fields)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", stop_at=1, **fields)
    train(tmp_path / "cut", resume=True, **fields)
    assert same_state(tmp_path / "cut", tmp_path / "whole", 2)
    state = state_of(tmp_path / "cut", 2)
    assert state["scaler/scale"] > 1 and state["model/autoencoder.encoder.layers.0.weight"].isfinite().all()
