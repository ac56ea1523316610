"""A probe: one session that measures one URL after another and writes OONI's JSON."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from analysis.worlds.control_vantage import Control, Helper
from analysis.worlds.path import Path
from analysis.worlds.software import Software
from analysis.worlds.urls import parse
from analysis.worlds.web_connectivity_04 import measure_04
from analysis.worlds.web_connectivity_05 import measure_05
from analysis.worlds.web_records import Names

Json = dict[str, Any]

HELPER_URL = "https://0.th.example"


@dataclass(slots=True)
class Session:
    """One run of the test. ``start`` is when the first URL is measured, in UTC."""

    report_id: str
    start: datetime
    software: Software
    path: Path
    network_type: str
    helper_failure_rate: float = 0.02
    run_link: str = ""  # of a campaign that the volunteer takes part in


class Probe:
    """Runs web_connectivity on the world of a session."""

    def __init__(self, probe_cc: str, session: Session, helper: Helper, names: Names) -> None:
        self._cc = probe_cc
        self._session = session
        self._helper = helper
        self._names = names
        self._now = session.start
        self._header = self._make_header()

    def _make_header(self) -> Json:
        session, path = self._session, self._session.path
        network = path.network
        return {
            "annotations": session.software.annotations(session.network_type, session.run_link),
            "data_format_version": "0.2.0",
            "probe_asn": f"AS{network.asn}",
            "probe_cc": self._cc,
            "probe_network_name": network.name,
            "report_id": session.report_id,
            "resolver_asn": f"AS{path.resolver.asn}",
            "resolver_network_name": self._names.network(path.resolver.asn),
            "test_start_time": str(session.start - timedelta(seconds=2)),
        }

    def measure(self, url: str) -> tuple[Json, bool]:
        """Measure one URL; time passes. Also tells whether all went well on the way."""
        session, path = self._session, self._session.path
        rng = path.rng
        self._now += timedelta(seconds=rng.randint(2, 7))
        path.moment = self._now
        target = parse(url)
        ask = self._ask_helper(rng)
        path.timeout_count = 0
        measure = measure_05 if session.software.is_new else measure_04
        date = self._now.strftime("%a, %d %b %Y %H:%M:%S GMT")
        test_keys = measure(target, path, ask, session.software, self._names, date)
        is_sound = path.state == "good" and not path.timeout_count and not ask.fails
        return self._document(url, test_keys, round(rng.uniform(0.5, 9.0), 3)), is_sound

    def _ask_helper(self, rng: Random) -> "Ask":
        """The probe's way to its helper, which fails at times."""
        state = self._session.path.state
        rate = self._session.helper_failure_rate if state == "good" else 0.4
        fails = rng.random() < rate
        return Ask(self._helper, self._session.path.day, fails)

    def _document(self, url: str, test_keys: Json, runtime: float) -> Json:
        head, software = self._header, self._session.software
        document: Json = {
            "annotations": head["annotations"],
            "data_format_version": head["data_format_version"],
        }
        if software.is_new:
            document["extensions"] = _EXTENSIONS
        document |= {
            "input": url,
            "measurement_start_time": str(self._now),
            "probe_asn": head["probe_asn"],
            "probe_cc": head["probe_cc"],
            "probe_ip": "127.0.0.1",
            "probe_network_name": head["probe_network_name"],
            "report_id": head["report_id"],
            "resolver_asn": head["resolver_asn"],
            "resolver_ip": self._session.path.resolver.address,
            "resolver_network_name": head["resolver_network_name"],
            "software_name": software.name,
            "software_version": software.version,
            "test_helpers": {"backend": {"address": HELPER_URL, "type": "https"}},
            "test_keys": test_keys,
            "test_name": "web_connectivity",
            "test_runtime": runtime,
            "test_start_time": head["test_start_time"],
            "test_version": software.test_version,
        }
        return document


_EXTENSIONS = {
    "dnst": 0, "httpt": 0, "netevents": 0, "tcpconnect": 0, "tlshandshake": 0, "tunnel": 0,
}  # fmt: skip


@dataclass(slots=True)
class Ask:
    """One question to the test helper."""

    helper: Helper
    day: int
    fails: bool

    def __call__(self, target: Any, addresses: list[str]) -> Control:
        if self.fails:
            return Control(failure="generic_timeout_error")
        return self.helper.measure(target, addresses, self.day)
