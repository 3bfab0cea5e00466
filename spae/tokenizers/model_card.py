"""The card of a saved model: description, recipe, scores, and a licence for its publisher to fill in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from spae.canonical import sha256_file
from spae.regular_file import MOST_INDEX, parse_json, read_json, read_text
from spae.tokenizers.config import HUB_NAME
from spae.tokenizers.hub_files import RECIPE_FILE
from spae.tokenizers.model_folder import load_config
from spae.tokenizers.own_vocabulary import VOCABULARY_FILE, model_vocabulary

LOG_FILE = "log.jsonl"
# Prefixes of values that a training step logs; the others are scores.
OF_A_STEP = ("step", "train/", "loss/", "weighted/")
METRICS = 60


def model_card(folder: Path, fingerprint: str, repo_id: str | None = None) -> ModelCard:
    """The card of the model in `folder`; `repo_id` is where it will be published, if known."""
    config = load_config(folder)
    vocabulary = model_vocabulary(folder, config)
    data = ModelCardData(
        license="unknown", library_name="spae-bench", pipeline_tag="image-feature-extraction",
        tags=["spae", "visual-tokenizer", config.quantizer],
    )  # fmt: skip
    saved = "saved beside it" if (folder / VOCABULARY_FILE).exists() else "found by its name"
    parts = [
        f"# {config.name}",
        "A visual tokenizer after *SPAE: Semantic Pyramid AutoEncoder for Multimodal Generation with Frozen LLMs* "
        "(arXiv 2306.17842): images to words of a frozen language model's vocabulary, and back.",
        f'```python\nimport spae\n\ntokenizer = spae.from_pretrained("{repo_id or "OWNER/NAME"}")\n```',
        f"```bash\npython -m spae tokenize image.png --tokenizer hf:{repo_id or 'OWNER/NAME'} --show\n```",
        "## Licence\n\nTO BE FILLED IN by whoever publishes it, here and as `license:` above: the terms of these "
        "weights, of the images that they were trained on, and of the language model whose words they use.",
        "## Vocabulary\n\n"
        + _table(
            {
                "name": f"{config.vocabulary} ({saved})",
                "words": f"{len(vocabulary):,}, of {vocabulary.source}",
                "sha256": vocabulary.fingerprint,
                "sha256 of its source": vocabulary.source_sha256,
                "round trip rate": "not known" if vocabulary.round_trip_rate is None else vocabulary.round_trip_rate,
            }
        ),
        "## Hashes\n\n"
        + _table({file: sha256_file(folder / file) for file in ("config.json", "model.safetensors")})
        + f"\n| both together (the fingerprint in records) | `{fingerprint}` |",
    ]
    scores = last_scores(folder)
    step = scores.pop("step", None)
    head = f"From the training log, step {step}." if step is not None else "No training log was kept beside the model."
    parts.append("## Scores\n\n" + head + ("\n\n" + _table(scores) if scores else ""))
    recipe = read_recipe(folder)
    fields = {
        f"{group}.{key}": value
        for group, part in recipe.items()
        if isinstance(part, dict)
        for key, value in part.items()
    }
    if recipe:
        parts.append(
            "## Recipe\n\nFiles of the machine that it was trained on by their last name.\n\n" + _table(fields)
        )
    else:
        parts.append("## Model\n\n" + _table(config.model_dump(mode="json")))
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n")


def last_scores(folder: Path) -> dict[str, Any]:
    """The last evaluation in a training log, with its step; empty without one."""
    found: dict[str, Any] = {}
    try:
        lines = read_text(folder / LOG_FILE, MOST_INDEX).splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    for line in reversed(lines):
        try:
            values = parse_json(line.encode())
        except ValueError:
            continue  # the last line of a run that was killed
        scores = {
            key: value
            for key, value in (values.items() if isinstance(values, dict) else ())
            if isinstance(value, int | float) and not key.startswith(OF_A_STEP)
        }
        if scores:
            found = {"step": values.get("step")} | dict(list(scores.items())[:METRICS])
            break
    return found


def read_recipe(folder: Path) -> dict[str, Any]:
    """The recipe beside a model, without folders of this machine; empty if missing or unreadable."""
    try:
        recipe = read_json(folder / RECIPE_FILE)
    except (OSError, ValueError):
        return {}
    return {str(key): _shared(value) for key, value in recipe.items()} if isinstance(recipe, dict) else {}


def _shared(value: Any) -> Any:
    """A value without the folders of this machine: "folder:/home/me/birds" as "folder:birds"."""
    if isinstance(value, dict):
        return {str(key): _shared(one) for key, one in value.items()}
    if not isinstance(value, str) or not set(value) & set("/\\"):
        return value
    if HUB_NAME.fullmatch(value) and not Path(value).exists():
        return value
    scheme, colon, rest = value.partition(":")
    if not colon or set(scheme) & set("/\\"):
        scheme, colon, rest = "", "", value
    if HUB_NAME.fullmatch(rest) and not Path(rest).exists():
        return value
    return scheme + colon + rest.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _table(values: Mapping[str, Any]) -> str:
    rows = [f"| {_cell(key)} | `{_cell(value)}` |" for key, value in values.items()]
    return "\n".join(["| | |", "| --- | --- |", *rows])


def _cell(value: Any) -> str:
    """A value as one cell of a table."""
    text = value if isinstance(value, str) else json.dumps(value)
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")[:300] or "–"
