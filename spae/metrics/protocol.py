"""What a reader must know of a metric: facts as fields, so that nothing is read out of a name. Imports no torch."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from spae.canonical import Frozen


class MetricFacts(Frozen):
    """The facts of one metric. Tables, bold marks and comparisons go by them."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: str = Field(min_length=1, description="as records and tables print it: 'accuracy', 'CIDEr-D'")
    unit: str = Field(min_length=1, description="'percent of 1' (a fraction, printed times 100), 'CIDEr-D points', ...")
    higher_is_better: bool
    protocol: str = Field(default="", description="one line: how the number is made")
    low: float | None = Field(default=None, description="least possible value; None if unbounded")
    high: float | None = Field(default=None, description="greatest possible value; None if unbounded")
