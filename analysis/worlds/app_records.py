"""What a probe writes down of a test of an app or a tool, in OONI's JSON.

The names are those that the apps have; addresses are for documentation only.
"""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

TIMED_OUT, RESET = "generic_timeout_error", "connection_reset"
#: App → versions of its test.
VERSIONS: Mapping[str, str] = {
    "facebook_messenger": "0.2.1", "signal": "0.2.5", "telegram": "0.3.1", "whatsapp": "0.11.1",
    "psiphon": "0.6.0", "tor": "0.4.0", "torsf": "0.5.0", "vanilla_tor": "0.3.0",
}  # fmt: skip
_CENTRES = tuple(f"203.0.113.{last}" for last in (5, 50, 51, 91, 99, 100))
_TELEGRAM_WEB = "web.telegram.org"
_MESSENGER = ("stun.fbsbx.com", "b-api.facebook.com", "b-graph.facebook.com",
              "edge-mqtt.facebook.com", "external.xx.fbcdn.net", "scontent.xx.fbcdn.net",
              "star.c10r.facebook.com")  # fmt: skip
_SIGNAL = ("cdn.signal.org", "cdn2.signal.org", "chat.signal.org", "storage.signal.org",
           "sfu.voip.signal.org")  # fmt: skip
_RELAYS = tuple(f"198.51.100.{last}:9001" for last in range(10, 20))
_BRIDGES = tuple(f"198.51.100.{last}:443" for last in range(30, 42))


def address_of(host: str) -> str:
    """The address that everybody's resolver gives for a name."""
    return f"192.0.2.{sum(map(ord, host)) % 200 + 10}"


def _lookup(host: str) -> Json:
    return {"engine": "system", "hostname": host, "query_type": "A", "failure": None,
            "answers": [{"answer_type": "A", "ipv4": address_of(host)}]}  # fmt: skip


def _connect(address: str, port: int, failure: str | None) -> Json:
    return {"ip": address, "port": port,
            "status": {"success": failure is None, "failure": failure}}  # fmt: skip


def _shake(host: str, failure: str | None) -> Json:
    return {"server_name": host, "address": f"{address_of(host)}:443", "failure": failure,
            "no_tls_verify": False}  # fmt: skip


def _ask(url: str, failure: str | None, method: str = "GET") -> Json:
    code = None if failure else 200
    return {"failure": failure, "request": {"method": method, "url": url},
            "response": {"code": code, "headers": {}, "body": ""}}  # fmt: skip


def _hosts(hosts: Mapping[str, str | None]) -> Json:
    """Keys of attempts at some names, each with the failure of its handshake."""
    return {
        "queries": [_lookup(host) for host in hosts],
        "tcp_connect": [_connect(address_of(host), 443, None) for host in hosts],
        "tls_handshakes": [_shake(host, failure) for host, failure in hosts.items()],
        "requests": [_ask(f"https://{host}/", failure) for host, failure in hosts.items()],
    }


def telegram(closed: int, web: str | None) -> Json:
    """``closed`` of twelve endpoints time out; ``web`` is the failure of the web page."""
    keys = _hosts({_TELEGRAM_WEB: web})
    ends = [(address, port) for address in _CENTRES for port in (80, 443)]
    for number, (address, port) in enumerate(ends):
        failure = TIMED_OUT if number < closed else None
        keys["tcp_connect"].append(_connect(address, port, failure))
        keys["requests"].append(_ask(f"http://{address}:{port}/", failure, "POST"))
    return {**keys, "telegram_tcp_blocking": closed == len(ends),
            "telegram_http_blocking": closed == len(ends), "telegram_web_failure": web,
            "telegram_web_status": "blocked" if web else "ok"}  # fmt: skip


def whatsapp(app: str | None, web: str | None) -> Json:
    """``app`` is the failure of connecting to each endpoint, ``web`` that of the web page."""
    keys = _hosts({"web.whatsapp.com": web, "v.whatsapp.net": None})
    keys["requests"][1] = _ask("https://v.whatsapp.net/v2/register", None)
    for number in range(1, 9):
        host = f"e{number}.whatsapp.net"
        keys["queries"].append(_lookup(host))
        keys["tcp_connect"].append(_connect(address_of(host), 443 if number % 2 else 5222, app))
    return {**keys, "whatsapp_endpoints_status": "blocked" if app else "ok",
            "registration_server_status": "ok",
            "whatsapp_web_status": "blocked" if web else "ok"}  # fmt: skip


def messenger(failure: str | None) -> Json:
    """``failure`` is that of connecting to each server."""
    connects = [_connect(address_of(host), 443, failure) for host in _MESSENGER[1:]]
    return {"queries": [_lookup(host) for host in _MESSENGER], "tcp_connect": connects,
            "facebook_tcp_blocking": failure is not None, "facebook_dns_blocking": False,
            "facebook_b_api_reachable": failure is None}  # fmt: skip


def signal(failure: str | None) -> Json:
    """``failure`` is that of each handshake."""
    keys = _hosts(dict.fromkeys(_SIGNAL, failure))
    return {**keys, "signal_backend_status": "blocked" if failure else "ok",
            "signal_backend_failure": failure}  # fmt: skip


def tor(failure: str | None) -> Json:
    """``failure`` is that of connecting to relays; bridges work."""
    ends = [(end, "or_port_dirauth", failure) for end in _RELAYS]
    ends += [(end, "obfs4", None) for end in _BRIDGES]
    return {"targets": {
        end: {"failure": fails, "target_address": end, "target_protocol": protocol,
              "tcp_connect": [_connect(end.partition(":")[0], int(end.partition(":")[2]), fails)]}
        for end, protocol, fails in ends
    }}  # fmt: skip


def tunnel(test: str, failure: str | None) -> Json:
    """A tunnel that was set up, or not."""
    time = 0 if failure else 12.5
    if test == "psiphon":
        return {"failure": failure, "bootstrap_time": time}
    return {"failure": failure, "bootstrap_time": time, "success": failure is None,
            "error": "timeout-reached" if failure else None,
            "tor_progress": 10 if failure else 100}  # fmt: skip
