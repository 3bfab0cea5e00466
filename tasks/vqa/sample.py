"""Questions about images: one sample, its prompt to the character, and its request.

Shared by every task that asks questions. The prompt is that of the appendix of arXiv 2306.17842, one for both styles;
the model answers greedily, at most 4 tokens, until the first newline.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from pydantic import Field, model_validator

from llm_backends.protocol import CompletionRequest, Request
from spae.canonical import Frozen, folded
from tasks.errors import TaskInputError
from tasks.fewshot.prompts import image_line
from tasks.manifest import sample_digest
from tasks.protocol import WIRE, Sample
from tasks.scoring import likelihood_request, rule

INSTRUCTION = "Answer with a single word."
MAX_NEW_TOKENS = 4


class ShownAnswer(Frozen):
    """One example in a prompt: an image, a question about it, and its answer; each one line, not empty."""

    model_config = WIRE

    image: str = Field(alias="picture")
    question: str
    answer: str

    @model_validator(mode="after")
    def _is_lines(self) -> ShownAnswer:
        _check_lines(self.question, self.answer)
        return self


class VqaSample(Sample):
    """Examples, then a question about another image.

    `images` is the examples' in order, then the query's; `fingerprint` also covers the data's.
    """

    index: int = Field(ge=0, description="k: samples of one k are paired across settings")
    question_type: str = Field(
        default="", alias="kind", description="'colour', 'how-many', ...; '' where the data do not say"
    )
    support: tuple[ShownAnswer, ...] = Field(description="the examples, in the order of the prompt")
    query: str = Field(description="id of the image the question is about")
    question: str = Field(description="one line")
    accepted: tuple[str, ...] = Field(min_length=1, description="every right answer; `target` is the first")
    classes: tuple[str, ...] = Field(
        default=(), description="the answers to choose from, one of them right; () where the question is open"
    )

    @property
    def choices(self) -> tuple[str, ...]:
        """As `classes`."""
        return self.classes

    @property
    def labels(self) -> dict[str, str]:
        """The questions about each image with their answers."""
        said: dict[str, list[str]] = defaultdict(list)
        for image, question, answer in (
            *((one.image, one.question, one.answer) for one in self.support),
            (self.query, self.question, self.target),
        ):
            said[image].append(f"{question} {answer}")
        return {image: "; ".join(texts) for image, texts in said.items()}

    @model_validator(mode="after")
    def _is_a_question(self) -> VqaSample:
        _check_lines(self.question, *self.accepted, *self.classes)
        shown = tuple(one.image for one in self.support)
        if self.target != self.accepted[0]:
            raise ValueError(f"target must be the first accepted, got {self.target!r} and {self.accepted}")
        if self.query in shown or self.images != (*dict.fromkeys(shown), self.query):
            raise ValueError("images must be the examples' then the query's, which may not be among them")
        if self.classes and (len(set(self.classes)) != len(self.classes) or self.target not in self.classes):
            raise ValueError(f"classes must differ and hold the target, got {self.classes} and {self.target!r}")
        return self


def _check_lines(*texts: str) -> None:
    for text in texts:
        if not text.strip() or text.splitlines() != [text]:
            raise ValueError(f"a question or answer must be one line, not empty, got {text!r}")


def make_sample(
    data_fingerprint: str,
    *,
    id: str,
    setting: str,
    index: int,
    question_type: str,
    support: Sequence[ShownAnswer],
    query: str,
    question: str,
    accepted: Sequence[str],
    classes: Sequence[str],
) -> VqaSample:
    """A sample with its images listed and its fingerprint computed; fields as in `VqaSample`."""
    content = {
        "id": id,
        "setting": setting,
        "pictures": [*dict.fromkeys(one.image for one in support), query],
        "answer": accepted[0],
        "index": index,
        "kind": question_type,
        "support": [one.model_dump(mode="json") for one in support],
        "query": query,
        "question": question,
        "accepted": list(accepted),
        "classes": list(classes),
    }
    return VqaSample.model_validate({**content, "fingerprint": sample_digest(content, data_fingerprint)})


def vqa_prompt(sample: VqaSample, texts: Mapping[str, str]) -> str:
    """The prompt; it ends in `A:`, where the model continues.

    Args:
        sample: the examples and the question.
        texts: the SPAE string of each of its images, by image id; one line each, not empty.

    Raises:
        TaskInputError: an image has no text; a text is empty or has a line break.
    """
    lines = [INSTRUCTION]
    for one in sample.support:
        lines += [f"C: {image_line(texts, one.image)}", f"Q: {one.question}", f"A: {one.answer}"]
    lines += [f"C: {image_line(texts, sample.query)}", f"Q: {sample.question}", "A:"]
    return "\n".join(lines)


def vqa_request(sample: VqaSample, texts: Mapping[str, str], scoring: str) -> Request:
    """Greedy text, or with `ranked` the likelihood of each of the answers and the newline after it.

    Raises:
        TaskInputError: as `vqa_prompt`; the rule is unknown; the rule is `ranked` and the question is open.
    """
    asks = rule(scoring).asks
    prompt = vqa_prompt(sample, texts)
    if asks == "completion":
        return CompletionRequest(prompt=prompt, max_new_tokens=MAX_NEW_TOKENS, stop=("\n",))
    if not sample.classes:
        raise TaskInputError(
            f"scoring {scoring!r} needs answers to choose from, the question {sample.question!r} of {sample.id} is "
            "open: pass --scoring exact"
        )
    return likelihood_request(prompt, sample.classes)


def question_type(sample: VqaSample) -> str:
    """The question type in the data, else the first two words of the question: 'how many'."""
    return sample.question_type or " ".join(folded(sample.question).split()[:2])


def text_only_accuracy(samples: Sequence[VqaSample]) -> float:
    """The text-only baseline: the accuracy of answering each question type with its most common target.

    The most common targets are those of these very samples, so no guess from the question type alone does better: an
    upper bound, as a fraction of 1.
    """
    targets: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        targets[question_type(sample)][folded(sample.target)] += 1
    return sum(max(counts.values()) for counts in targets.values()) / max(1, len(samples))
