"""The metrics of COCO captions (arXiv 1504.00325), as the official package `pycocoevalcap` computes them.

| metric | source |
| --- | --- |
| BLEU-1 to BLEU-4 | Papineni et al., ACL 2002 |
| METEOR | Denkowski and Lavie, WMT 2014 |
| ROUGE-L | Lin, ACL 2004 |
| CIDEr-D | arXiv 1411.5726 |
| SPICE | arXiv 1607.08822 |
"""

from spae.metrics.protocol import MetricFacts

_WORDS = "pycocoevalcap on PTB words, against all references of an image"


def _fraction(name: str, over: str) -> MetricFacts:
    return MetricFacts(
        name=name, unit="percent of 1", higher_is_better=True, protocol=f"{_WORDS}, {over}", low=0.0, high=1.0
    )


ROUGE_L = _fraction("ROUGE-L", "mean over captions")
BLEU = tuple(_fraction(f"BLEU-{n}", "of the whole corpus") for n in (1, 2, 3, 4))
"""By the longest n-gram, 1 to 4."""
BLEU_1, BLEU_2, BLEU_3, BLEU_4 = BLEU
METEOR = _fraction("METEOR", "of the whole corpus")
CIDER_D = MetricFacts(
    name="CIDEr-D",
    unit="CIDEr-D points",
    higher_is_better=True,
    protocol=f"{_WORDS}, words weighed by how many of the corpus's images have them",
    low=0.0,
    high=10.0,
)
SPICE = _fraction("SPICE", "of the whole corpus")
CAPTION_METRICS = (ROUGE_L, *BLEU, METEOR, CIDER_D, SPICE)
"""ROUGE-L, which every record has, then those of a whole corpus."""
