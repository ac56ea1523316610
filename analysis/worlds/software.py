"""The probe software found in the field, old and new side by side."""

from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True, slots=True)
class Software:
    """One build. ``is_new`` is web_connectivity 0.5, the others 0.4.

    ``lacks_authority`` builds ship a list of certificate authorities that lacks a newer one.
    ``trusts_loopback`` builds take an answer of 127.0.0.1 for what the control saw.
    ``names_nxdomain`` builds word a missing name as Android's resolver does.
    """

    name: str
    version: str
    engine_version: str
    test_version: str
    platform: str
    weight: float
    is_new: bool = False
    lacks_authority: bool = False
    trusts_loopback: bool = False
    names_nxdomain: str = "dns_nxdomain_error"
    omits_address: bool = False  # of requests: the field is optional
    words: str = ""  # a system language other than English shows in failures

    def annotations(self, network_type: str, run_link: str = "") -> dict[str, Any]:
        """What the probe says about itself, as engines of that age do."""
        return {
            **({"ooni_run_link_id": run_link} if run_link else {}),
            "architecture": "arm64" if self.platform == "android" else "amd64",
            "engine_name": "ooniprobe-engine",
            "engine_version": self.engine_version,
            "network_type": network_type,
            "platform": self.platform,
        }


_ANDROID_WORDS = "android_dns_cache_no_data"

_GERMAN_WORDS = "unknown_failure: connectex: Es konnte keine Verbindung hergestellt werden."

BUILDS = (
    Software("ooniprobe-android", "3.8.5", "3.19.1", "0.4.3", "android", 22),
    Software(
        "ooniprobe-android", "3.8.8", "3.21.1", "0.4.3", "android", 8, names_nxdomain=_ANDROID_WORDS
    ),
    Software("ooniprobe-desktop-unattended", "3.20.0", "3.20.0", "0.4.3", "windows", 16),
    Software("ooniprobe-cli-unattended", "3.21.0", "3.21.0", "0.4.3", "linux", 8),
    Software("ooniprobe-desktop", "3.9.2", "3.9.2", "0.4.0", "macos", 5, trusts_loopback=True),
    Software("ooniprobe-cli", "3.18.9", "3.18.9", "0.4.2", "linux", 5, lacks_authority=True),
    Software("ooniprobe-desktop", "3.17.4", "3.17.4", "0.4.2", "windows", 1, words=_GERMAN_WORDS),
    Software("ooniprobe-android", "3.9.0", "3.22.0", "0.5.28", "android", 14, is_new=True),
    Software(
        "ooniprobe-android",
        "3.9.1",
        "3.22.1",
        "0.5.28",
        "android",
        5,
        True,
        names_nxdomain=_ANDROID_WORDS,
    ),
    Software("ooniprobe-cli-unattended", "3.22.0", "3.22.0", "0.5.28", "linux", 10, is_new=True),
    Software("ooniprobe-desktop-unattended", "3.23.0", "3.23.0", "0.5.29", "windows", 6, True),
)

#: The build that a fleet of probes on one network never updated.
OUTDATED = next(build for build in BUILDS if build.lacks_authority)


def weigh(new_share: float | None) -> list[float]:
    """How many probes run each build; ``new_share`` of them 0.5, or as many as usual."""
    if new_share is None:
        return [build.weight for build in BUILDS]
    totals = {
        kind: sum(build.weight for build in BUILDS if build.is_new is kind)
        for kind in (True, False)
    }
    shares = {True: new_share, False: 1 - new_share}
    return [build.weight * shares[build.is_new] / totals[build.is_new] for build in BUILDS]


def pick(rng: Random, weights: list[float], fleet_share: float = 0.0) -> Software:
    """One build, by how many probes run it; or the fleet's."""
    if fleet_share and rng.random() < fleet_share:
        return OUTDATED
    return rng.choices(BUILDS, weights)[0]
