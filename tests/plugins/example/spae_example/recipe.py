"""A short run of the embedded SPAE, to try a learning rate."""

from spae.training.recipe import Recipe
from spae.training.recipes.picto import picto_spae


def short_spae() -> Recipe:
    """SPAE on the embedded pictograms, cut short.

    Source: picto_spae, with a tenth of its steps.
    Data: pictograms-more, 521 concepts.
    Cost: about 5 minutes on two cores.
    Expected: nothing to compare with; it is there to be looked at.
    Command: python -m spae train --recipe short_spae
    """
    return picto_spae().replace({"name": "short_spae", "optimizer.steps": 280})
