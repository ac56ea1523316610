"""Small inputs whose answer is known, or is another program's: a table each."""

import json
import re
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from analysis.observations.fingerprints import Fingerprint, Fingerprints
from analysis.observations.messaging import MESSAGING
from analysis.observations.messaging_tests import BY_NAME
from analysis.outcomes.app_outcomes import add_messaging_outcomes
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.store.database import observations_from_table
from analysis.store.lines import LineReader
from analysis.store.stage_tables import add_room
from analysis.verdicts.app_verdicts import judge_messaging
from analysis.verdicts.sessions import Operators, add_sessions
from analysis.verdicts.verdicts import Judgement, Scope
from tests.measurements import connect, lookup, page, shake
from tests.messaging import CENTRES, RESET, TIMEOUT, measurement, telegram

# --- fingerprints ---------------------------------------------------------------------------------

#: What a pattern is put together from: literals, of which an escaped mark is one, and gaps; ...
_LITERALS, _GAPS = ("s", "d", "é", r"\.", r"\-", r"\\", r"\ "), (".", ".*")
#: ... and what no pattern may have.
_OTHERS = (r"\s", r"\d", r"\b", r"\n", r"\é", "s+", "[sd]", "(s)", "s|d", "^s", "s{2}", "s?", "\n")
_PAGES = ("s", "sd", "s.d", "d\ns", "s-d", "s\\d", "s d", "és", "dés", "s\\s", "n", "xbx", "", "\\")


def test_patterns_are_found_as_by_re_search() -> None:
    """Those of literals and gaps are, if there is a literal; any other is left out, and said."""
    patterns = {
        "".join(parts): parts for parts in product((*_LITERALS, *_GAPS, *_OTHERS), repeat=2)
    }
    known = Fingerprints(
        http=tuple(
            Fingerprint(pattern, "nat", "body", "regexp", pattern, ()) for pattern in patterns
        )
    )
    others = {pattern for pattern, parts in patterns.items() if set(parts) & set(_OTHERS)}
    empty = {pattern for pattern, parts in patterns.items() if set(parts) <= set(_GAPS)}
    assert set(known.left_out) == others
    for content in _PAGES:
        found = set(known.match("body", content.encode()))
        expected = {one for one in patterns.keys() - others - empty if re.search(one, content)}
        assert found == expected, content


# --- tests of apps --------------------------------------------------------------------------------

_FIRST, _SECOND = f"{CENTRES[0]}:80", f"{CENTRES[0]}:443"
_ASKED = {
    name: {"failure": failure, "request": {"method": "POST", "url": f"http://{end}/"}}
    for name, end, failure in (
        ("open", _FIRST, None),
        ("silent", _FIRST, TIMEOUT),
        ("other", _SECOND, RESET),
    )
}
_CHAT = "chat.signal.org"
_SECURE, _PLAIN = f"https://{_CHAT}/", f"http://{_CHAT}/"


def _target(protocol: str, failure: str | None, *connects: str | None) -> dict[str, Any]:
    return {
        "target_protocol": protocol,
        "target_address": "192.0.2.1:9001",
        "failure": failure,
        "tcp_connect": [connect("192.0.2.1", one, 9001) for one in connects],
    }


#: Test, its keys, and its endpoints: part, name, layer and failure.
ENDPOINTS: list[tuple[str, dict[str, Any], list[tuple[str, str, str | None, str | None]]]] = [
    # Telegram without connections, as in old probes: requests alone tell.
    ("telegram", {"requests": [_ASKED["open"]]}, [("app", _FIRST, None, None)]),
    ("telegram", {"requests": [_ASKED["silent"]]}, [("app", _FIRST, "http", TIMEOUT)]),
    (
        "telegram",
        {"requests": [_ASKED["silent"], _ASKED["other"], _ASKED["open"]]},
        [("app", _FIRST, None, None), ("app", _SECOND, "http", RESET)],
    ),
    (
        "telegram",
        {"requests": [_ASKED["open"]], "tcp_connect": [connect(CENTRES[0], TIMEOUT, 80)]},
        [("app", _FIRST, "tcp", TIMEOUT)],
    ),
    # Where a name's attempts ended: at the first layer at which all did.
    ("signal", {"requests": [page(_SECURE)]}, [("app", _CHAT, None, None)]),
    ("signal", {"requests": [page(_SECURE, failure=RESET)]}, [("app", _CHAT, "tls", RESET)]),
    ("signal", {"requests": [page(_PLAIN, failure=RESET)]}, [("app", _CHAT, "http", RESET)]),
    (
        "signal",
        {"requests": [page(_PLAIN), page(_SECURE, failure=RESET)]},
        [("app", _CHAT, "tls", RESET)],
    ),
    (
        "signal",
        {"requests": [page(_SECURE, failure="dns_nxdomain_error")]},
        [("app", _CHAT, "dns", "dns_nxdomain_error")],
    ),
    (
        "signal",
        {"requests": [page(_SECURE, failure=RESET)], "tls_handshakes": [shake(name=_CHAT)]},
        [("app", _CHAT, "http", RESET)],
    ),
    (
        "signal",
        {
            "requests": [page(_SECURE, failure=TIMEOUT)],
            "tls_handshakes": [shake(name=_CHAT, failure=RESET)],
        },
        [("app", _CHAT, "tls", RESET)],
    ),
    (
        "signal",
        {
            "requests": [page(_SECURE, failure=TIMEOUT)],
            "queries": [lookup("192.0.2.10", "2001:db8::1", host=_CHAT)],
            "tcp_connect": [connect("192.0.2.10", TIMEOUT), connect("2001:db8::1", RESET)],
        },
        [("app", _CHAT, "tcp", TIMEOUT)],
    ),
    (
        "signal",
        {
            "requests": [page(_SECURE, failure=TIMEOUT)],
            "queries": [lookup("127.0.0.1", host=_CHAT)],
        },
        [("app", _CHAT, "dns", "bogon")],
    ),
    # A target of Tor: by its connections, else by its failure, else by its protocol.
    (
        "tor",
        {
            "targets": {
                "a": _target("or_port_dirauth", None, None),
                "b": _target("or_port_dirauth", TIMEOUT, TIMEOUT),
                "c": _target("or_port_dirauth", TIMEOUT, TIMEOUT, None),
                "d": _target("dir_port", TIMEOUT),
                "e": _target("dir_port", "connection_refused"),
                "f": _target("obfs4", TIMEOUT),
            }
        },
        [
            ("relays", "192.0.2.1:9001", None, None),
            ("relays", "192.0.2.1:9001", "tcp", TIMEOUT),
            ("relays", "192.0.2.1:9001", "tls", TIMEOUT),
            ("relays", "192.0.2.1:9001", "http", TIMEOUT),
            ("relays", "192.0.2.1:9001", "tcp", "connection_refused"),
            ("bridges", "192.0.2.1:9001", "tls", TIMEOUT),
        ],
    ),
]


@pytest.mark.parametrize(("test_name", "keys", "endpoints"), ENDPOINTS)
def test_where_each_endpoint_of_an_app_ended(
    test_name: str, keys: dict[str, Any], endpoints: list[tuple[str, ...]]
) -> None:
    content = json.dumps(measurement(test_name, keys)).encode()
    row = LineReader(Fingerprints(), test=BY_NAME[test_name]).read(content, 1)
    assert not isinstance(row, str), row
    assert [tuple(one) for one in row.endpoints] == endpoints


# --- what fails elsewhere -------------------------------------------------------------------------

#: Network → its operator; the last is no access network.
_OPERATORS = {64500: "One", 64501: "One", 64502: "Two", 64503: "Three", 64510: "Tunnel"}
_PERIOD = Period.parse("2024-01-01", "2024-03-01")


def _judge(failing: dict[int, range], tested: dict[int, int] | None = None) -> Judgement:
    """Telegram on all networks, where the endpoints of some are cut off on days of the period.

    Args:
        failing: network → the days, from 0.
        tested: network → tests a day, 1 where nothing is said.
    """
    reader = LineReader(Fingerprints(), test=BY_NAME["telegram"])
    rows = []
    for day, asn in product(range(60), _OPERATORS):
        for number in range((tested or {}).get(asn, 1)):
            start = datetime(2024, 1, 1, 9, asn % 60) + timedelta(days=day, hours=number)
            closed = 12 if day in failing.get(asn, ()) else 0
            keys = telegram(closed=closed)
            document = measurement("telegram", keys, start=f"{start:%Y-%m-%d %H:%M:%S}", asn=asn)
            rows.append(reader.read(json.dumps(document).encode(), len(rows) + 1)._asdict())
    table = pa.Table.from_pylist(rows, MESSAGING)
    table = table.append_column("object_key", pa.array(["a"] * len(rows)))
    table = table.append_column("run", pa.array(range(len(rows)), pa.uint32()))
    connection = observations_from_table(table, "messaging")
    operators = Operators(frozenset(_OPERATORS) - {64510}, _OPERATORS)
    place = add_room(connection, "sessions")
    outcomes = add_messaging_outcomes(connection)
    sessions = add_sessions(connection, outcomes, operators, Thresholds(), place, "messaging")
    scope = Scope({"all": _PERIOD}, Thresholds(), has_explorer=False)
    nothing = pd.DataFrame({"test_name": [], "day": [], "share": []})
    nothing = nothing.astype({"test_name": "str", "day": "datetime64[us]"})
    return judge_messaging(connection, sessions, scope, nothing)


def _evidence(judgement: Judgement) -> float:
    """How surprising the failures of the first network are."""
    chances = judgement.chances.set_index(["domain", "probe_asn"])["evidence"]
    return float(chances.get(("telegram/app", 64500), float("nan")))


def test_only_other_operators_say_what_fails_elsewhere() -> None:
    """A network of the same operator, and one that is no access network, are no witnesses of a
    defect, nor are failures of another month; where others fail as well, a failure tells less."""
    late = range(30, 60)
    alone = _judge({64500: late})
    listed = alone.intervals[["domain", "probe_asn", "mechanism"]].values.tolist()
    assert listed == [["telegram/app", 64500, "tcp.timeout"]]
    same = _judge({64500: late, 64501: late, 64510: late})
    assert _evidence(same) == _evidence(alone) > 3
    assert _evidence(_judge({64500: late, 64502: range(15)})) == _evidence(alone)
    half = _judge({64500: late, 64502: late})  # and so does half of the others
    assert not _evidence(half) >= _evidence(alone) - 1
