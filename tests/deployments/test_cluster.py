"""cluster.yaml: what Ray's own launcher accepts, and room for what serve.cluster.yaml asks."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from deployments.api import PlatformSpec
from deployments.host import HostSpec
from deployments.placement import Placement
from deployments.profiles import read


@pytest.fixture
def cluster() -> dict[str, Any]:
    stored = (Path(__file__).parents[2] / "cluster.yaml").read_text()
    found: dict[str, Any] = yaml.safe_load(stored)
    return found


def placements() -> list[Placement]:
    found: list[Placement] = []
    for application in read("cluster").applications:
        if application.name == "platform":
            platform = PlatformSpec.model_validate(application.args)
            found += [platform.api, platform.conductor, platform.worker]
        else:
            found.append(HostSpec.model_validate(application.args).placement)
    return found


def test_rays_launcher_accepts_it(cluster: dict[str, Any]) -> None:
    validate_config(prepare_config(cluster))


def test_a_typo_is_refused(cluster: dict[str, Any]) -> None:
    cluster["max_worker"] = 3

    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config(cluster))


def test_every_placement_fits_a_node_of_its_pool(cluster: dict[str, Any]) -> None:
    nodes = cluster["available_node_types"].values()

    for placement in placements():
        assert any(
            node["labels"] == placement.labels
            and node["resources"].get("CPU", 0) >= placement.num_cpus
            and node["resources"].get("GPU", 0) >= placement.num_gpus
            for node in nodes
        ), placement


def test_the_head_does_no_work(cluster: dict[str, Any]) -> None:
    assert cluster["available_node_types"][cluster["head_node_type"]]["resources"] == {"CPU": 0}
