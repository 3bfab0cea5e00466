"""COCO-QA: ten examples with ten answers, the prompt to the character, and impossible samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_backends.protocol import CompletionRequest, LikelihoodRequest, Likelihoods
from spae.data.annotations.coco_qa import CocoQaSet, question_files
from tasks.errors import EpisodeError, TaskInputError
from tasks.vqa.coco_qa import CocoQaSample, CocoQaTask, sample_coco_qa
from tests.coco_fixtures import write_coco_qa
from tests.tasks.conftest import solved, text_reply

PROMPT = """Answer with a single word.
C: moped rider road
Q: what is the man riding on a dirt road
A: moped
C: cat sofa cushion
Q: how many cats are lying on the couch
A: two
C: zebra grass herd
Q: how many zebras are grazing in the field
A:"""


@pytest.fixture
def data(tmp_path: Path) -> CocoQaSet:
    return CocoQaSet(*question_files(write_coco_qa(tmp_path / "qa")), name="qa")


def test_ten_answers_one_of_them_right_and_no_image_twice(data: CocoQaSet) -> None:
    manifest = sample_coco_qa("coco-qa", data, ["ways=10"], seed=0, limit=99)
    assert len(manifest.samples) == 13  # all questions of test/
    places = set()
    for one in manifest.samples:
        assert len(one.classes) == len(set(one.classes)) == 10 and one.target in one.classes
        assert [shown.answer for shown in one.support] == list(one.classes)
        assert len(set(one.images)) == 11 and one.images[-1] == one.query
        assert all(image.startswith("train2014/") for image in one.images[:-1])
        assert one.query.startswith("val2014/") and len(one.digests) == 11 and one.question_type == "object"
        places.add(one.classes.index(one.target))
    assert len(places) > 4
    assert sample_coco_qa("coco-qa", data, ["ways=10"], seed=0, limit=5).samples == manifest.samples[:5]


def test_prompt_to_the_character() -> None:
    sample = CocoQaSample.model_validate(
        {
            "id": "x", "setting": "ways=10", "images": ["a", "b", "q"], "target": "two", "index": 0, "query": "q",
            "support": [
                {"image": "a", "question": "what is the man riding on a dirt road", "answer": "moped"},
                {"image": "b", "question": "how many cats are lying on the couch", "answer": "two"},
            ],
            "question": "how many zebras are grazing in the field", "accepted": ["two"], "classes": ["moped", "two"],
            "digests": ["1", "2", "3"], "fingerprint": "-",
        }
    )  # fmt: skip
    texts = {"a": "moped rider road", "b": "cat sofa cushion", "q": "zebra grass herd"}
    request, outcome = solved(CocoQaTask(), sample, texts, text_reply(" Two\n"))
    assert isinstance(request, CompletionRequest) and request.prompt == PROMPT and request.max_new_tokens == 4
    assert outcome.scores == {"accuracy": 1.0}
    ranked = CocoQaTask().configured(prompt_style="gpt", scoring="ranked")
    request, outcome = solved(ranked, sample, texts, Likelihoods(values=(-1.0, -2.0)))
    assert isinstance(request, LikelihoodRequest) and request.continuations == (" moped\n", " two\n")
    assert outcome.prediction == "moped"


def test_samples_that_do_not_exist(tmp_path: Path, data: CocoQaSet) -> None:
    with pytest.raises(TaskInputError, match="one setting ways=10"):
        sample_coco_qa("coco-qa", data, ["shots=1"], seed=0, limit=1)
    few = CocoQaSet(*question_files(write_coco_qa(tmp_path / "few", train=9)), name="few")
    with pytest.raises(EpisodeError, match="10 different answers, 'few' has 9"):
        sample_coco_qa("coco-qa", few, ["ways=10"], seed=0, limit=1)
    alone = CocoQaSet(tmp_path / "few" / "test", name="alone")  # each answer once: none to show beside the query
    with pytest.raises(EpisodeError, match="no question"):
        sample_coco_qa("coco-qa", alone, ["ways=10"], seed=0, limit=1)
