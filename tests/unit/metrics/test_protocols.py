import dataclasses
import re

import pytest
import torch

from t2i import config
from t2i.errors import UserError
from t2i.metrics import fidelity, protocols


def test_the_name_carries_count_and_extractor():
    for name, protocol in protocols.PROTOCOLS.items():
        kind, number, thousand, extractor = re.fullmatch(r"(fid|is)(\d+)(k?)-(.+)", name).groups()
        assert (kind == "fid") == (protocol.fid_layer is not None)
        assert protocol.name == name
        assert protocol.images == int(number) * (1000 if thousand else 1)
        assert protocol.extractor == extractor


def test_counts_are_written_short_only_where_that_says_all():
    assert [protocols.short(n) for n in (200, 2_000, 2_933, 30_000)] == ["200", "2k", "2933", "30k"]


def test_the_course_and_the_papers_have_their_protocols():
    assert {
        "fid200-aviarynet1",
        "fid2k-aviarynet1",
        "fid200-lite0",
        "fid2k-lite0",
        "fid30k-lite0",
        "fid2k-inception-tf",
        "fid30k-inception-tf",
        "fid30k-inception-legacy",
    } <= set(protocols.PROTOCOLS)
    published = protocols.get("fid30k-inception-tf")
    assert (published.fid_layer, published.isc_layer) == ("2048", "logits_unbiased")
    assert (published.isc_splits, published.kid_subset_size) == (10, 1000)


def test_every_setting_names_a_protocol_that_exists():
    tables = [*config.PROFILES.values(), *config.ON_PHOTOGRAPHS.values()]
    profiles = [rows for models in tables for rows in models.values()]
    names = {row["evaluation_protocol"] for row in profiles if "evaluation_protocol" in row}
    names |= {paper.evaluation_protocol for paper in config.PAPER.values()}
    named = {name for name in names if name.startswith("fid")}
    assert named and named <= set(protocols.PROTOCOLS)


MINE = """
import torch
from torch_fidelity import FeatureExtractorBase
from t2i.metrics.protocols import Protocol

class Means(FeatureExtractorBase):
    def __init__(self, name, layers, **_):
        super().__init__(name, layers)

    @staticmethod
    def get_provided_features_list():
        return ("means",)

    def forward(self, images):
        return (images.float().mean(dim=(2, 3)),)

MEANS = Protocol("fid20-means", "my_metrics:Means", 20, "means", None, 2, 10)
"""


def test_a_protocol_and_an_extractor_may_be_of_a_module_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "my_metrics.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    pictures = torch.randint(256, (40, 3, 8, 8), dtype=torch.uint8)
    found = fidelity.score(pictures[:20], pictures[20:], protocols.get("my_metrics:MEANS"))
    assert found["fid"] > 0 and found["is_mean"] is None and found["generated_count"] == 20
    with pytest.raises(UserError, match=r"no protocol my_metrics:YOURS .* Write module:NAME"):
        protocols.get("my_metrics:YOURS")
    with pytest.raises(UserError, match="no protocol absent:MEANS"):
        protocols.get("absent:MEANS")


def test_an_entry_adds_a_protocol(monkeypatch):
    further = dataclasses.replace(protocols.get("fid200-aviarynet1"), name="fid50-aviarynet1", images=50)
    monkeypatch.setitem(protocols.PROTOCOLS, further.name, further)
    assert protocols.get("fid50-aviarynet1") is further


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match=r"'fid50k'.*fid2k-aviarynet1"):
        protocols.get("fid50k")
