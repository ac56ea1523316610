"""OONI's servers on loopback, as far as the workbook asks them: its API's counts and its archive.

Nobody has run the workbook on OONI's own servers; this is what is tried instead. What the server
does was read in OONI's code, at ooni/backend 32d8349d and ooni/devops 6cadabd:

- parameters, grains and refusals: ``oonimeasurements/routers/v1/aggregation.py``;
- "Database query error": ``common/clickhouse_utils.py``, for whatever the database gives up. It
  does after 30 s and at 51,000 rows: ansible's ``group_vars/clickhouse/vars.yml``;
- 429 and what a reply costs: ``common/rate_limit_quotas.py``, with the quota of ``prod/main.tf``;
- a report ID for each measurement since 2026-05-19: backend#1195;
- objects that come late, under the hour in which they should have come: backend#1219;
- the archive's two layouts, both of which hold 2020-10-20 and 2020-10-21.

The API's answers were compared with those of OONI's own router, run over an embedded ClickHouse
(``test_ooni_server.py``).
"""

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from analysis.observations.flags import DISJOINT
from tests.archives import packed
from tests.loopback_s3 import Handler, LoopbackS3, serve

Item = dict[str, Any]
API = "api/v1/aggregation"
META = "api/v1/measurement_meta"

_UNIQUE_IDS = datetime(2026, 5, 19)
_BOTH = date(2020, 10, 20), date(2020, 10, 21)
_GRAINS = (
    (7, ("hour", "day", "auto")),
    (30, ("day", "week", "auto")),
    (365, ("day", "week", "month", "auto")),
    (9999999, ("day", "week", "month", "year", "auto")),
)
_AXES = (
    "blocking_type",
    "category_code",
    "domain",
    "input",
    "measurement_start_day",
    "probe_asn",
    "probe_cc",
    "test_name",
)
_DAY = r"\d{4}-\d\d-\d\d"
_PATTERNS = {
    "test_name": "[a-z0-9_,]+",
    "probe_cc": ".{2,}",
    "axis_x": "[a-z_]+",
    "axis_y": "[a-z_]+",
    "since": _DAY,
    "until": _DAY,
}
_UNITS_AN_HOUR = 4000  # of 10 ms


class OoniServer(LoopbackS3):
    """What OONI has received.

    Attributes:
        counted: measurements by start, test, country and flag, as the database has them.
        seconds_a_day: what the database takes for a day of all that it holds, whatever is asked of
            it: 4 million rows, three days, took it .05 s once.
        units: of the quota that were spent this hour.
        received: measurements that were given an ID.
        by_uid: what is sent of a measurement with all its fields, by uid; another uid is not known.
        units_a_body: of the quota, to unpack an object and send a measurement of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[tuple[datetime, str, str, str]] = Counter()
        self.seconds_a_day = 0.016
        self.units = 0
        self.received = 0
        self.by_uid: dict[str, Item] = {}
        self.units_a_body = 30

    @property
    def api(self) -> str:
        """What ``OONI_API`` has to say."""
        return f"http://127.0.0.1:{self.port}"

    def asked(self) -> list[Mapping[str, str]]:
        """The parameters of the questions so far, which are then forgotten with all requests."""
        paths = [urlsplit(request.partition(" ")[2]) for request in self.requests]
        self.requests.clear()
        return [
            {name: values[-1] for name, values in parse_qs(path.query).items()}
            for path in paths
            if path.path == f"/{API}"
        ]

    def asked_uids(self) -> list[str]:
        """The uids of the measurements that were asked for; all requests are then forgotten."""
        paths = [urlsplit(request.partition(" ")[2]) for request in self.requests]
        self.requests.clear()
        of_meta = [path.query for path in paths if path.path == f"/{META}"]
        return [parse_qs(query)["measurement_uid"][-1] for query in of_meta]

    # --- what is received -----------------------------------------------------------------------

    def receive(
        self, items: Iterable[Item], hour: datetime | None = None, host: str = "n0"
    ) -> None:
        """Put measurements into the archive and count them.

        Args:
            items: in OONI's JSON.
            hour: of receipt; by default each measurement's own.
            host: which of OONI's machines: n5 sends what had failed (backend#1219).
        """
        objects: dict[str, list[bytes]] = {}
        for item in items:
            start = _read_time(item)
            received = hour or start or _UNIQUE_IDS
            if received >= _UNIQUE_IDS:
                item = {**item, "report_id": self._make_id(item, received)}
            stem = f"{_stem(item, received)}.{host}"
            objects.setdefault(stem, []).append(json.dumps(item).encode())
            # What has no start, country or network is not in the database (fastpath, core.py).
            if start and item["probe_cc"] != "ZZ" and item["probe_asn"] != "AS0":
                self.counted[start, item["test_name"], item["probe_cc"], _flag(item)] += 1
        for stem, lines in objects.items():
            number = sum(key.startswith(f"{stem}.") for key in self.objects)
            self.objects[f"{stem}.{number}.jsonl.gz"] = packed(lines)

    def _make_id(self, item: Item, received: datetime) -> str:
        """A report ID; what is sent twice has two."""
        self.received += 1
        asn, test = item["probe_asn"].removeprefix("AS"), item["test_name"].replace("_", "")
        name = f"{test}_{item['probe_cc']}_{asn}_n1_{self.received:016x}"
        return f"{received:%Y%m%dT%H%M%SZ}_{name}"

    def receive_archive(self, folder: Path, probe_cc: str) -> None:
        """Take a fictional country's archive as another country's, broken lines apart."""
        for path in sorted(folder.glob("raw/*/*/*/*/*.jsonl.gz")):
            day, hour = path.parts[-5:-3]
            lines = zlib.decompressobj(31).decompress(path.read_bytes()).split(b"\n")
            items = [
                json.loads(line) | {"probe_cc": probe_cc}
                for line in lines
                if line.startswith(b"{") and line.endswith(b"}")
            ]
            self.receive(items, datetime.strptime(day + hour, "%Y%m%d%H"))

    # --- what is counted ------------------------------------------------------------------------

    def answer(self, asked: Mapping[str, str], path: str = API) -> tuple[int, Item, dict[str, str]]:
        """Status, body and headers of a reply of the API."""
        left = _UNITS_AN_HOUR - self.units
        if left <= 0:
            return 429, {"error": "quota exceeded"}, {}
        if path == META:  # what is not known is answered as well (routers/v1/measurements.py)
            assert asked["full"] == "true"
            status, body = 200, self.by_uid.get(asked["measurement_uid"], {"raw_measurement": ""})
            cost = self.units_a_body
        else:
            status, body = self._count(asked)
            cost = max(int(body.get("db_stats", {}).get("elapsed_seconds", 0) * 100), 1)
        self.units += cost if cost <= left else 0  # the limiter counts no request that it forbids
        return status, body, {"X-RateLimit-Remaining": str(max(left - cost, 0))}

    def _count(self, asked: Mapping[str, str]) -> tuple[int, Item]:
        wrong = [
            name
            for name, pattern in _PATTERNS.items()
            if name in asked and not re.fullmatch(pattern, asked[name])
        ]
        if wrong:
            return 422, {"detail": [{"loc": ["query", name], "msg": "wrong"} for name in wrong]}
        axes = [asked[name] for name in ("axis_x", "axis_y") if name in asked]
        if len(axes) == 2 and axes[0] == axes[1]:
            return 200, {"msg": "Axis X and Y cannot be the same", "v": 0}
        since, until = (
            datetime.combine(date.fromisoformat(asked[name]), time()) for name in ("since", "until")
        )
        grain = asked.get("time_grain", "auto")
        for axis in axes:
            if axis not in _AXES:
                return 400, {"msg": "Invalid axis name", "v": 0}
            if axis == "measurement_start_day":
                why, grain = _choose_grain(since, until, grain)
                if why:
                    return 400, {"msg": why, "v": 0}
        elapsed = max((until - since).days, 0) * self.seconds_a_day
        rows = self._rows(asked, axes, grain, since, until)
        if elapsed > 30 or len(rows) > 51_000:
            return 400, {"detail": "Database query error"}
        return 200, {
            "v": 0,
            "dimension_count": len(axes),
            "result": rows if axes else rows[0],
            "db_stats": {
                "row_count": 1,
                "bytes": 1,
                "total_row_count": 1,
                "elapsed_seconds": elapsed,
            },
        }

    def _rows(
        self,
        asked: Mapping[str, str],
        axes: list[str],
        grain: str,
        since: datetime,
        until: datetime,
    ) -> list[Item]:
        """One row a combination of the axes' values that occurs, sorted."""
        tests, countries = (
            set(asked[name].split(",")) if name in asked else None
            for name in ("test_name", "probe_cc")
        )
        cells: dict[tuple[str, ...], Counter[str]] = {} if axes else {(): Counter()}
        for (start, test, probe_cc, flag), count in self.counted.items():
            if (
                since <= start < until
                and (tests is None or test in tests)
                and (countries is None or probe_cc in countries)
            ):
                values = {
                    "test_name": test,
                    "probe_cc": probe_cc,
                    "measurement_start_day": _start(start, grain),
                }
                key = tuple(values[axis] for axis in axes)
                cells.setdefault(key, Counter())[flag] += count
        return [
            {
                **dict(zip(axes, key, strict=True)),
                "measurement_count": cell.total(),
                **{f"{flag}_count": cell[flag] for flag in DISJOINT},
            }
            for key, cell in sorted(cells.items())
        ]


def _choose_grain(since: datetime, until: datetime, grain: str) -> tuple[str, str]:
    """Why a grain is refused, and what is meant by it."""
    if until <= since:
        return "Invalid since and until values", grain
    allowed = next(grains for days, grains in _GRAINS if until - since <= timedelta(days=days))
    if grain not in allowed:
        listed = ", ".join(allowed)
        return f"Choose time_grain between {listed} for the given time range", grain
    if grain == "year":  # is allowed, and then not known
        return "'year'", grain
    return "", allowed[0] if grain == "auto" else grain


def _start(start: datetime, grain: str) -> str:
    """The first moment of the hour, day, week or month."""
    if grain == "hour":
        return f"{start:%Y-%m-%dT%H:00:00Z}"
    back = {"week": (start.weekday() + 1) % 7, "month": start.day - 1}.get(grain, 0)
    return f"{start - timedelta(days=back):%Y-%m-%d}"


def _read_time(item: Item) -> datetime | None:
    with suppress(TypeError, ValueError):
        return datetime.fromisoformat(item["measurement_start_time"])
    return None


def _stem(item: Item, received: datetime) -> str:
    """How the key begins under which a measurement is kept.

    Two days have keys of both layouts; here the even hours are in the older one.
    """
    test, probe_cc, day = item["test_name"].replace("_", ""), item["probe_cc"], received.date()
    if day < _BOTH[0] or (day in _BOTH and received.hour % 2 == 0):
        return f"jsonl/{test}/{probe_cc}/{day:%Y%m%d}/00/{day:%Y%m%d}_{probe_cc}_{test}"
    hour = f"{received:%Y%m%d%H}"
    return f"raw/{day:%Y%m%d}/{received:%H}/{probe_cc}/{test}/{hour}_{probe_cc}_{test}"


def _flag(item: Item) -> str:
    """OONI's flag of a measurement, as far as no fingerprint confirms it."""
    keys = item.get("test_keys") or {}
    if item["test_name"] == "web_connectivity":
        blocking = keys.get("blocking")
        return {None: "failure", False: "ok"}.get(blocking, "anomaly")
    told = [keys[name] for name in keys if name.endswith(("_status", "_blocking"))]
    return "anomaly" if "blocked" in told or True in told else "ok"


class _Handler(Handler):
    state: OoniServer

    def answers_elsewhere(self) -> bool:
        path = next((path for path in (API, META) if self.path.startswith(f"/{path}?")), "")
        if not path:
            return False
        _, asked = self.read_target()
        self.fault = self.find_fault(asked.get("measurement_uid", path))
        if self.state.is_down:
            self.close_connection = True
        elif self.fault:
            self.fail(self.fault, b"", "")
        else:
            status, body, headers = self.state.answer(asked, path)
            self.reply(status, json.dumps(body).encode(), "application/json", **headers)
        return True


@contextmanager
def ooni_server() -> Iterator[OoniServer]:
    """Run the servers for the length of a block."""
    with serve(OoniServer(), _Handler) as server:
        yield server
