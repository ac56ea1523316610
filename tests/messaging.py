"""Raw measurements of messaging and circumvention tests in OONI's JSON; small builders."""

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.archives import object_key, put

#: Telegram's endpoints, each with two ports.
CENTRES = (
    "149.154.175.50",
    "149.154.167.51",
    "149.154.175.100",
    "149.154.167.91",
    "149.154.171.5",
    "95.161.76.100",
)
WEB = "149.154.167.99"
TIMEOUT, RESET = "generic_timeout_error", "connection_reset"
Item = dict[str, Any]


_EMPTY = {"body": "", "code": 0, "headers": {}}


def telegram(
    *, closed: int = 0, web: str | None = None, answer: str = WEB, unanswered: int = 0
) -> Item:
    """The keys of a telegram test.

    Args:
        closed: of the 12 endpoints, those that time out.
        web: the failure of the handshake with the web page; None where it is reached.
        answer: what the resolver gives for the web page.
        unanswered: endpoints that are open and give no answer.
    """
    ends = [(address, port) for address in CENTRES for port in (80, 443)]
    connects, requests = [], []
    for number, (address, port) in enumerate(ends):
        failure = TIMEOUT if number < closed else None
        connects.append(
            {
                "ip": address,
                "port": port,
                "status": {"success": failure is None, "failure": failure},
            }
        )
        is_silent = failure or (TIMEOUT if number < closed + unanswered else None)
        asked = {"method": "POST", "url": f"http://{address}:{port}/"}
        requests.append({"failure": is_silent, "request": asked, "response": _EMPTY})
    connects.append({"ip": answer, "port": 443, "status": {"success": True, "failure": None}})
    page = {"method": "GET", "url": "https://web.telegram.org/"}
    return {
        "queries": [
            {
                "engine": "system",
                "hostname": "web.telegram.org",
                "query_type": "A",
                "failure": None,
                "answers": [{"answer_type": "A", "ipv4": answer}],
            }
        ],
        "tcp_connect": connects,
        "tls_handshakes": [
            {
                "server_name": "web.telegram.org",
                "address": f"{answer}:443",
                "failure": web,
                "no_tls_verify": False,
            }
        ],
        "requests": [{"failure": web, "request": page, "response": _EMPTY}, *requests],
        "telegram_web_status": "blocked" if web else "ok",
        "telegram_web_failure": web,
        "telegram_tcp_blocking": closed == len(ends),
        "telegram_http_blocking": closed == len(ends),
    }


def measurement(
    test_name: str = "telegram",
    keys: Item | None = None,
    *,
    start: str = "2024-07-01 10:00:00",
    asn: int = 64500,
    report_id: str = "",
    **changes: Any,
) -> Item:
    """One measurement; each has a report of its own, as in OONI's archive."""
    return {
        "test_name": test_name,
        "report_id": report_id or f"{test_name}_{asn}_{start}",
        "input": None,
        "measurement_start_time": start,
        "probe_cc": "QQ",
        "probe_asn": f"AS{asn}",
        "probe_network_name": f"Network {asn}",
        "resolver_asn": f"AS{asn}",
        "test_version": "0.3.1",
        "software_name": "ooniprobe-android",
        "software_version": "3.8.5",
        "test_keys": telegram() if keys is None else keys,
        **changes,
    }


def write_archive(folder: Path, measurements: Iterable[Item]) -> Path:
    """An archive in OONI's layout: an object an hour and test."""
    objects: dict[str, list[bytes]] = {}
    for item in measurements:
        start = datetime.fromisoformat(item["measurement_start_time"])
        test = item["test_name"].replace("_", "")
        key = object_key(start.hour, day=f"{start:%Y%m%d}", cc=item["probe_cc"], test=test)
        objects.setdefault(key, []).append(json.dumps(item).encode())
    for key, lines in objects.items():
        put(folder, key, lines)
    return folder
