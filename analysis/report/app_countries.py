"""What OONI's counts say of a test in the whole country: rows for the tables of apps and tools."""

from typing import Any

import pandas as pd

from analysis.period import Period
from analysis.study.app_study import MessagingStudy
from analysis.tables import TABLES
from analysis.verdicts.country_counts import CountryVerdicts
from analysis.verdicts.elsewhere import DEFECT_SHARE
from analysis.verdicts.states import wilson_bounds
from analysis.vocabulary import LISTED

#: In the place of a network: the country as a whole. No network has this number.
COUNTRY = "AS0"
#: What counts know nothing of.
_NO_SESSIONS = dict.fromkeys(("session_count", "blocked_session_count", "ok_session_count"), 0)
#: Why a test that fails is no sign of a block.
DEFECT_NOTE = "instrument: the test fails in other countries too in these weeks"
_NO_CONTROL_NOTE = "no other country to compare with"


def country_intervals(study: MessagingStudy, counted: CountryVerdicts) -> pd.DataFrame:
    listed = counted.stretches[counted.stretches["state"].isin(LISTED)]
    dated = listed.assign(
        first=listed["since"].dt.strftime("%Y-%m-%d"),
        last=listed["until"].dt.strftime("%Y-%m-%d"),
        elsewhere=[
            study.elsewhere.typical_share(str(test), since, until)
            for test, since, until in zip(
                listed["test_name"], listed["since"], listed["until"], strict=True
            )
        ],
    )
    rows = [
        {"test_name": row.test_name, "probe_asn": COUNTRY, "part": "counts", "state": row.state,
         "chance": row.chance, "blocked_from": row.first,
         "blocked_from_time": f"{row.first}T00:00:00", "blocked_until": row.last,
         "measurement_count": row.anomaly_count, "day_count": row.day_count,
         "session_count": 0, "elsewhere_anomaly_share": row.elsewhere, "is_partial": False}
        for row in dated.itertuples()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(TABLES["messaging_intervals"].columns))


def country_verdicts(study: MessagingStudy, counted: CountryVerdicts) -> pd.DataFrame:
    """One row a test and period, from OONI's counts of the whole country."""
    rows = [
        _country_verdict(study, counted, str(test), name, days)
        for name, period in study.periods.items()
        for test, days in counted.days[within(counted.days["day"], period)].groupby("test_name")
    ]
    return pd.DataFrame(rows, columns=list(TABLES["messaging_verdicts"].columns))


def _country_verdict(
    study: MessagingStudy, counted: CountryVerdicts, test: str, name: str, days: pd.DataFrame
) -> dict[str, Any]:
    period, thresholds = study.periods[name], study.parameters.thresholds
    stretches = counted.stretches[counted.stretches["test_name"] == test]
    inside = stretches[(stretches["until"] >= pd.Timestamp(period.since))
                       & (stretches["since"] < pd.Timestamp(period.until))]  # fmt: skip
    listed = inside[inside["state"].isin(LISTED)]
    ok, anomaly = int(days["ok_count"].sum()), int(days["anomaly_count"].sum())
    low, _ = wilson_bounds(pd.Series([ok]), pd.Series([ok + anomaly]))
    ok_days = int((days["ok_count"] > 0).sum())
    is_open = low[0] >= thresholds.share_floor and ok_days >= thresholds.floor_days
    is_known = bool(days["typical"].notna().any())
    expected = (days["typical"] * (days["ok_count"] + days["anomaly_count"])).sum()
    broken = days[
        (days["typical"] >= DEFECT_SHARE) & (2 * days["anomaly_count"] > days["ok_count"])
    ]
    states = {
        "likely_blocked": len(listed) > 0, "impaired": len(inside) > 0 or not is_open,
        "ok": is_open,
    }  # fmt: skip
    state = next((state for state, holds in states.items() if holds), "insufficient")
    if ok + anomaly < thresholds.floor_sessions:
        state = "insufficient"
    is_defect = state == "impaired" and not len(inside) and expected >= anomaly / 2
    notes = [*dict.fromkeys(inside["reason"])] if not len(listed) else []
    if len(broken):
        first, last = broken["day"].min().date(), broken["day"].max().date()
        notes.append(f"{DEFECT_NOTE}, between {first} and {last}")
    if not is_known:
        notes.append(_NO_CONTROL_NOTE)
    since = max(listed["since"].min(), pd.Timestamp(period.since)) if len(listed) else None
    until = min(listed["until"].max(), pd.Timestamp(period.last_day)) if len(listed) else None
    share = study.elsewhere.typical_share(
        test, since or pd.Timestamp(period.since), until or pd.Timestamp(period.last_day)
    )
    return {
        "test_name": test, "probe_asn": COUNTRY, "period": name, "state": state, "schedule": "",
        "chance": listed["chance"].iloc[0] if len(listed) else "", "mechanism": "",
        **{count: int(days[count].sum()) for count in ("measurement_count", "failure_count")},
        **_NO_SESSIONS, "day_count": len(days), "anomaly_count": anomaly,
        "elsewhere_anomaly_share": share,
        "blocked_from": str(since.date()) if since is not None else "",
        "blocked_until": str(until.date()) if until is not None else "",
        "note": "; ".join(notes), "control": "countries" if is_known else "none",
        "set_aside_reason": "instrument" if is_defect else state if state == "impaired" else "",
        "network": "", "is_partial": False,
    }  # fmt: skip


def within(day: pd.Series, period: Period) -> pd.Series:
    """Which days lie in a period."""
    return (day >= pd.Timestamp(period.since)) & (day < pd.Timestamp(period.until))
