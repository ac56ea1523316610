"""Where OONI Explorer shows what a report speaks of; a fictional country is not there."""

from urllib.parse import quote, urlencode

from analysis.period import Period

_EXPLORER = "https://explorer.ooni.org"


def measurement_url(report_id: str, input_url: str) -> str:
    """The measurement's page; empty where there is no report."""
    if not report_id:
        return ""
    return f"{_EXPLORER}/measurement/{quote(report_id, safe='')}?input={quote(input_url, safe='')}"


def countries_url(domain: str, period: Period) -> str:
    """OONI's own counts of a site by country and day.

    What fails in most countries is not blocked in one of them (guard G6), and no measurement of
    that one country can tell.
    """
    asked = {
        "test_name": "web_connectivity",
        "domain": domain,
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        "time_grain": "month",
        "axis_x": "measurement_start_day",
        "axis_y": "probe_cc",
    }
    return f"{_EXPLORER}/chart/mat?{urlencode(asked, quote_via=quote, safe='')}"
