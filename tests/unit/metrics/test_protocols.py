import re

import pytest

from t2i import config
from t2i.errors import UserError
from t2i.metrics import protocols


def test_the_name_carries_count_and_extractor():
    for name, protocol in protocols.PROTOCOLS.items():
        number, thousand, extractor = re.fullmatch(r"fid(\d+)(k?)-(.+)", name).groups()
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


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match=r"'fid50k'.*fid2k-aviarynet1"):
        protocols.get("fid50k")
