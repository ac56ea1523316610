"""A probe: one session that measures one URL after another and writes OONI's JSON."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from analysis.worlds.internet import TIMED_OUT, Control, Helper, Target, parse
from analysis.worlds.path import Path
from analysis.worlds.software import Software
from analysis.worlds.web_connectivity import Json, Names, Task, measure_04, measure_05

_EXTENSIONS = {
    "dnst": 0, "httpt": 0, "netevents": 0, "tcpconnect": 0, "tlshandshake": 0, "tunnel": 0,
}  # fmt: skip


@dataclass(slots=True)
class Session:
    """One run of the test. ``start`` is when the first URL is measured, in UTC."""

    report_id: str
    start: datetime
    software: Software
    path: Path
    network_type: str
    helper_failure_rate: float
    run_link: str  # of a campaign that the volunteer takes part in


@dataclass(slots=True)
class Probe:
    """Runs web_connectivity on the world of a session."""

    probe_cc: str
    session: Session
    helper: Helper
    names: Names

    def measure(self, url: str) -> tuple[Json, bool]:
        """Measure one URL; time passes. Also tells whether all went well on the way."""
        session, path = self.session, self.session.path
        path.moment += timedelta(seconds=path.rng.randint(2, 7))
        target = parse(url)
        rate = session.helper_failure_rate if path.state == "good" else 0.4
        is_lost = path.rng.random() < rate

        def ask(addresses: list[str]) -> Control:
            if is_lost:
                return Control(failure=TIMED_OUT)
            return self.helper.measure(target, addresses, path.day)

        path.timeout_count = 0
        date = path.moment.strftime("%a, %d %b %Y %H:%M:%S GMT")
        task = Task(target, path, ask, session.software, self.names, date)
        test_keys = measure_05(task) if session.software.is_new else measure_04(task)
        is_sound = path.state == "good" and not path.timeout_count and not is_lost
        return self._document(target, test_keys), is_sound

    def _document(self, target: Target, test_keys: Json) -> Json:
        session, software, path = self.session, self.session.software, self.session.path
        asn = path.resolver.asn
        return {
            "annotations": software.annotations(session.network_type, session.run_link),
            "data_format_version": "0.2.0",
            **({"extensions": _EXTENSIONS} if software.is_new else {}),
            "input": target.url,
            "measurement_start_time": str(path.moment),
            "probe_asn": f"AS{path.network.asn}",
            "probe_cc": self.probe_cc,
            "probe_ip": "127.0.0.1",
            "probe_network_name": path.network.name,
            "report_id": session.report_id,
            "resolver_asn": f"AS{asn}",
            "resolver_ip": path.resolver.address,
            "resolver_network_name": self.names.networks.get(asn, ""),
            "software_name": software.name,
            "software_version": software.version,
            "test_helpers": {"backend": {"address": "https://0.th.example", "type": "https"}},
            "test_keys": test_keys,
            "test_name": "web_connectivity",
            "test_runtime": round(path.rng.uniform(0.5, 9.0), 3),
            "test_start_time": str(session.start - timedelta(seconds=2)),
            "test_version": software.test_version,
        }
