"""Names of the 20 test classes of mini-ImageNet, by WordNet id, as the paper's few-shot task uses them."""

from __future__ import annotations

TEST_CLASSES: dict[str, str] = {
    "n01930112": "nematode",
    "n01981276": "king crab",
    "n02099601": "golden retriever",
    "n02110063": "malamute",
    "n02110341": "dalmatian",
    "n02116738": "African hunting dog",
    "n02129165": "lion",
    "n02219486": "ant",
    "n02443484": "black-footed ferret",
    "n02871525": "bookshop",
    "n03127925": "crate",
    "n03146219": "cuirass",
    "n03272010": "electric guitar",
    "n03544143": "hourglass",
    "n03775546": "mixing bowl",
    "n04146614": "school bus",
    "n04149813": "scoreboard",
    "n04418357": "theater curtain",
    "n04522168": "vase",
    "n07613480": "trifle",
}
