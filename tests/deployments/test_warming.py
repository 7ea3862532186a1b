"""A host hears a voice before any singer does: an engine that cannot answer then answers nobody."""

import pytest
import torch

from deployments.host import AnalyzerHost, HostSpec
from models import engines
from models.engine import Engine


@pytest.fixture(params=["emotion", "clarity"])
def mad(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> HostSpec:
    """A host of one family alone, whose network says infinity to every voice."""
    engine: Engine = engines.load(request.param)
    for parameter in list(engine.network.parameters())[-2:]:  # type: ignore[attr-defined]
        parameter.data.mul_(torch.inf)
    monkeypatch.setattr(engines, "load", lambda *_: engine)
    return HostSpec(versions={request.param: "1"}, device="cpu")


def test_a_champion_whose_answers_are_not_numbers_says_so_and_the_host_serves(
    mad: HostSpec,
) -> None:
    missing = AnalyzerHost(mad).missing()

    assert missing.keys() == mad.versions.keys()
    assert all(why.startswith("not finite") for why in missing.values())


def test_a_version_on_trial_with_such_answers_does_not_start(mad: HostSpec) -> None:
    with pytest.raises(RuntimeError, match="not finite"):
        AnalyzerHost(mad.model_copy(update={"strict": True}))
