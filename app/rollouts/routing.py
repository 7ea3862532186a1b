"""Routes: which version of a family answers whom, and where that version runs."""

import hashlib
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.results import Family


class Route(BaseModel):
    """One family's versions: where each runs, and its share of the singers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    champion: str
    hosts: dict[str, str] = Field(description="Version to Serve application.")
    percent: dict[str, float] = Field(
        default={}, description="Share of each version but the champion, which takes the rest."
    )
    shadow: list[str] = Field(
        default=[], description="Versions that are asked too, and whose answers nobody is given."
    )

    @model_validator(mode="after")
    def _complete(self) -> "Route":
        if homeless := {self.champion, *self.percent, *self.shadow} - self.hosts.keys():
            raise ValueError(f"no host is named for version {', '.join(sorted(homeless))}")
        if self.champion in self.percent or sum(self.percent.values()) > 100:
            raise ValueError("percent names the versions beside the champion, 100 at most in all")
        if any(share < 0 for share in self.percent.values()):
            raise ValueError("a share is not below 0")
        return self

    @classmethod
    def wished(
        cls,
        champion: str,
        hosts: Mapping[str, str],
        challenger: str | None,
        percent: float,
        shadow: str | None,
    ) -> "Route":
        """As far as the versions have hosts; the champion must."""
        beside = hosts.keys() - {champion}
        return cls(
            champion=champion,
            hosts=dict(hosts),
            percent={challenger: percent} if challenger in beside else {},
            shadow=[shadow] if shadow in beside else [],
        )

    def choose(self, family: Family, user: str) -> str:
        """The version for this singer. Sticky; raising a share only ever adds singers to it.

        Shares are laid out on [0, 100) with the champion last, so that a challenger's
        stretch grows at its end and nobody who was on it leaves.
        """
        point = 100 * _point(f"{family}:{user}")
        for version, percent in sorted(self.percent.items()):
            point -= percent
            if point < 0:
                return version
        return self.champion

    @property
    def watched(self) -> bool:
        """Whether a version is on trial beside the champion."""
        return bool(self.shadow) or any(share > 0 for share in self.percent.values())


def _point(key: str) -> float:
    """A fixed point in [0, 1) for the key."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
