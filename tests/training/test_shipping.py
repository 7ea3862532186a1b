"""What ships is described by a command: spread of results, memory, digests."""

import json
from pathlib import Path

import pytest

from models import shipped
from models.profiles import Profile
from models.shipped import NETWORKS
from training import shipping


def test_every_network_that_ships_is_described() -> None:
    release = shipped.everything()

    for family in NETWORKS:
        found = release[family]
        profile = Profile.model_validate(found.profile)
        assert profile.counted.takes >= 50, family
        assert "confidence" in profile.edges
        assert found.memory_bytes > 0
        assert found.metrics
        assert len(found.data_digest) == len(found.code_digest) == 64


def test_scores_last_as_long_as_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "FOLDER", tmp_path)
    shipping.write({"pitch": {"sha256": "a", "metrics": {"oa": 0.9}}, "timbre": {"sha256": "t"}})

    shipping.write({"pitch": {"sha256": "a", "memory_bytes": 1}})
    kept = json.loads((tmp_path / shipped.PROFILES).read_text())
    assert kept["pitch"] == {"sha256": "a", "metrics": {"oa": 0.9}, "memory_bytes": 1}
    assert kept["timbre"] == {"sha256": "t"}

    shipping.write({"pitch": {"sha256": "b"}})
    assert json.loads((tmp_path / shipped.PROFILES).read_text())["pitch"] == {"sha256": "b"}
