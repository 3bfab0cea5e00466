"""Cards: what they say, and what they keep to themselves."""

from __future__ import annotations

import json

import yaml

from spae.canonical import sha256_file
from spae.tokenizers.lexical import LexicalTokenizer
from spae.tokenizers.model_card import last_scores, read_recipe
from spae.tokenizers.model_folder import folder_fingerprint


def card_of(folder, target, **options):
    LexicalTokenizer.from_pretrained(folder).save_pretrained(target, **options)
    return (target / "README.md").read_text("utf-8")


def test_a_card_names_hashes_vocabulary_recipe_and_scores(tiny_folder, tiny, tmp_path, recipe_of):
    (tiny_folder / "recipe.json").write_text(json.dumps(recipe_of().model_dump(mode="json")))
    (tiny_folder / "log.jsonl").write_text(
        '{"step": 3, "held_out/mse": 0.5}\n{"step": 6, "train/mse": 0.1}\n{"step": 6, "held_out/mse": 0.25}\n'
        '{"step": 7, "loss/gan": 1.0, "weighted/gan": 0.1}\n{"step": 7, "held_o'
    )
    card = card_of(tiny_folder, tmp_path / "saved", repo_id="me/tiny")
    for part in (
        folder_fingerprint(tiny_folder), sha256_file(tiny_folder / "model.safetensors"), tiny.fingerprint,
        "step 6", "| held_out/mse | `0.25` |", "| optimizer.learning_rate | `0.001` |",
        "TO BE FILLED IN", "200, of a test",
        'spae.from_pretrained("me/tiny")', "hf:me/tiny",
    ):  # fmt: skip
        assert part in card, part
    assert "mse | `0.5`" not in card and "train/mse" not in card and "gan | `1.0`" not in card
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "unknown" and head["library_name"] == "spae-bench" and "spae" in head["tags"]


def test_an_existing_card_is_kept(tiny_folder, tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/README.md").write_text("license: mit")
    assert card_of(tiny_folder, tmp_path / "saved") == "license: mit"


def test_a_card_without_recipe_and_log(tiny_folder, tmp_path):
    card = card_of(tiny_folder, tmp_path / "saved")
    assert "No training log was kept" in card and "## Model" in card and "OWNER/NAME" in card


def test_local_folders_are_left_out_of_the_card(tiny_folder, tmp_path, recipe_of):
    home = tmp_path / "home-of-me"
    (home / "birds").mkdir(parents=True)
    recipe = recipe_of(
        source=f"folder:{home}/birds", exclude_classes=str(home / "left_out.txt"), init_from="runs/private/spae",
        masked_lm_source="FacebookAI/roberta-base", clip_pretrained=f"{home}\\clip.safetensors",
    ).model_dump(mode="json")  # fmt: skip
    recipe["data"]["note"] = "a | b `c`"
    (tiny_folder / "recipe.json").write_text(json.dumps(recipe))
    recipe = read_recipe(tiny_folder)
    assert recipe["data"]["source"] == "folder:birds" and recipe["data"]["exclude_classes"] == "left_out.txt"
    assert recipe["optimizer"]["init_from"] == "spae"
    assert recipe["model"]["masked_lm_source"] == "FacebookAI/roberta-base"
    assert recipe["semantics"]["clip_pretrained"] == "clip.safetensors"
    card = card_of(tiny_folder, tmp_path / "saved")
    for text in (card, (tmp_path / "saved/recipe.json").read_text()):
        assert "home-of-me" not in text and "private" not in text
    assert "a \\| b 'c'" in card, "a value is no table and no code"


def test_unreadable_logs_and_recipes_are_left_out(tiny_folder):
    for text in ("", "{", "[1]\n", "null\n", '{"step": 1, "train/mse": 2}\n', "[" * 5000):
        (tiny_folder / "log.jsonl").write_text(text)
        (tiny_folder / "recipe.json").write_text(text)
        assert last_scores(tiny_folder) == {}
    (tiny_folder / "recipe.json").write_bytes(b"\xff")
    assert read_recipe(tiny_folder) == {}
