"""The whole way, from an archive to a published report, through the command line.

The fictional country's truth is compared with what the report says of it. A second archive is
reported in test_hostile_archive.py.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from frictionless import Package

from analysis.tables import TABLES, read_table
from tests.archives import contents, read_csv

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[1-9]*.ipynb"))
LISTED = ("blocked", "likely_blocked")
ACCESS = ("isp", "mobile", "education", "unknown")
ENOUGH = 6  # blocked sessions with which a truly blocked site has to be listed


def _rows(frame: pd.DataFrame) -> list[Any]:
    return list(frame.itertuples(index=False))


def _counts(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    return frame[list(columns)].astype("int64")


@pytest.fixture(scope="module")
def tables(fictional_report: Path) -> dict[str, pd.DataFrame]:
    """The published tables of the fictional country, by name."""
    return {
        path.stem: read_csv(path) for path in sorted((fictional_report / "tables").glob("*.csv"))
    }


@pytest.fixture(scope="module")
def truth(fictional_report: Path) -> dict[str, pd.DataFrame]:
    """What the simulator says has happened; asked for after the report, which writes it."""
    folder = ROOT / "data" / "fictional" / "qq" / "truth"
    return {path.stem: read_csv(path) for path in sorted(folder.glob("*.csv"))}


@pytest.fixture(scope="module")
def blocks(truth: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per site that is truly blocked on an access network of the country, with the
    mechanisms and the number of sessions that met the block."""
    kinds = dict(zip(truth["networks"]["probe_asn"], truth["networks"]["kind"], strict=True))
    found = truth["blocks"]
    found = found[found["probe_asn"].map(kinds).isin(ACCESS)]
    return (
        found.assign(session_count=found["session_count"].astype("int64"))
        .groupby(["domain", "probe_asn"])
        .agg(mechanisms=("mechanism", set), session_count=("session_count", "sum"))
        .reset_index()
    )


def _listed(verdicts: pd.DataFrame) -> pd.DataFrame:
    return verdicts[(verdicts["period"] == "all") & verdicts["state"].isin(LISTED)]


# --- against the truth --------------------------------------------------------------------------


def test_every_measurement_is_counted_once(
    tables: dict[str, pd.DataFrame], truth: dict[str, pd.DataFrame]
) -> None:
    """Each line of the archive has the reason that it was written with; networks have exactly
    the measurements that were made."""
    ledger = tables["ingestion_ledger"]
    plain = ledger[~ledger["reason"].str.startswith("invalid:")].reset_index(drop=True)
    assert dict(plain.to_numpy().tolist()) == dict(truth["ledger"].to_numpy().tolist())
    measured = truth["networks"].set_index("probe_asn")["measurement_count"]
    assert tables["networks"].set_index("probe_asn")["measurement_count"].to_dict() == (
        measured[measured != "0"].to_dict()
    )


def test_only_what_is_blocked_is_listed(
    tables: dict[str, pd.DataFrame], truth: dict[str, pd.DataFrame], blocks: pd.DataFrame
) -> None:
    """No dead name, content network, closed or refusing site stands in the annex, and no network
    is said to block what it does not."""
    situations = dict(zip(truth["names"]["domain"], truth["names"]["situation"], strict=True))
    annex = tables["blocked_sites"]
    said = {(row.domain, asn) for row in _rows(annex) for asn in str(row.probe_asns).split(";")}
    assert said
    wrong = said - _pairs(blocks)
    assert not {(*pair, situations[pair[0]]) for pair in wrong}


def _pairs(table: pd.DataFrame) -> set[tuple[str, str]]:
    """The sites and networks of a table."""
    return set(zip(table["domain"], table["probe_asn"], strict=True))


def test_every_block_is_listed_with_its_mechanism(
    tables: dict[str, pd.DataFrame], blocks: pd.DataFrame
) -> None:
    """A site that enough sessions met blocked on an access network is listed there, by the layer
    at which it is blocked; a few, whose evidence is below the line, are shown with their dates."""
    found = blocks[blocks["session_count"] >= ENOUGH].merge(
        _listed(tables["verdicts"]), on=["domain", "probe_asn"], how="left", suffixes=("_met", "")
    )
    assert len(found) > 50
    unlisted = found[found["mechanism"].isna()]
    withheld = _pairs(tables["withheld_intervals"])
    assert len(unlisted) <= 5
    assert _pairs(unlisted) <= withheld
    found = found.dropna(subset="mechanism")
    layers = found["mechanism"].str.partition(".")[0]
    wrong = [
        (row.domain, row.probe_asn, row.mechanisms, layer)
        for row, layer in zip(_rows(found), layers, strict=True)
        if layer not in {name.partition(".")[0] for name in row.mechanisms}
    ]
    assert not wrong
    annexed = set(tables["blocked_sites"]["domain"])
    assert set(found["domain"]) <= annexed


def test_blocks_have_their_days(
    tables: dict[str, pd.DataFrame], truth: dict[str, pd.DataFrame]
) -> None:
    """Every interval lies within one true block, give or take the days between two tests, and
    every block that begins or ends within the year has an interval of its own."""
    bounds = (
        truth["blocks"]
        .rename(columns={"session_count": "session_count_met"})
        .assign(
            begun=pd.to_datetime(truth["blocks"]["since"].replace("", "2024-01-01")),
            ended=pd.to_datetime(truth["blocks"]["until"].replace("", "2025-01-01")),
        )
    )
    met = bounds["session_count_met"].astype(int) >= ENOUGH
    found = tables["blocking_intervals"].merge(bounds, on=["domain", "probe_asn"])
    spare = pd.Timedelta(days=31)
    is_within = (pd.to_datetime(found["blocked_from"]) >= found["begun"] - spare) & (
        pd.to_datetime(found["blocked_until"]) <= found["ended"] + spare
    )
    key = ["domain", "probe_asn", "blocked_from"]
    assert is_within.groupby([found[name] for name in key]).any().all()
    partial = bounds[met & ((bounds["since"] != "") | (bounds["until"] != ""))]
    assert len(partial) > 10
    seen = set(found.loc[is_within, ["domain", "probe_asn", "since"]].itertuples(index=False))
    withheld = _pairs(tables["withheld_intervals"])
    missing = [
        row
        for row in partial[["domain", "probe_asn", "since"]].itertuples(index=False)
        if row not in seen and tuple(row)[:2] not in withheld
    ]
    assert not missing


# --- the contract -------------------------------------------------------------------------------


def _documented() -> dict[str, tuple[list[str], list[str]]]:
    """Key and columns of each table, as docs/tables.md has them."""
    text = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        name, _, body = section.partition("\n")
        if name.endswith(".csv"):
            key = re.search(r"^Key: ((?:`\w+`(?:, )?)+)", body, flags=re.MULTILINE)
            columns = re.findall(r"^\| `(\w+)` \|", body, flags=re.MULTILINE)
            found[name.removesuffix(".csv")] = (re.findall(r"\w+", key[1]) if key else [], columns)
    return found


def test_tables_are_as_documented(tables: dict[str, pd.DataFrame]) -> None:
    """Every table has the columns of docs/tables.md in that order, its rows are sorted by their
    key, and no key stands twice."""
    documented = _documented()
    others = {
        name
        for name in documented
        if name.startswith(("watch", "side_by_side", "field_check", "topic"))
    }
    # only with an earlier report, with page 7, or from OONI's archive
    others |= {"changes", "threshold_sweep", "rule_change", "ooni_counts"}
    assert set(tables) | others == set(documented)
    for name, (key, columns) in documented.items():
        if name in others:
            continue
        table = tables[name]
        assert list(table.columns) == columns, name
        if key:
            rows = list(table[key].itertuples(index=False, name=None))
            assert rows == sorted(set(rows)), name


#: Type in ``datapackage.json`` → the kinds of dtype that a frame may have for it; networks are
#: numbers in frames.
_DTYPES = {
    "string": "OTi",
    "yearmonth": "OT",
    "integer": "i",
    "number": "f",
    "boolean": "b",
    "date": "M",
    "datetime": "M",
}


def test_the_tables_are_described_for_programs(
    fictional_report: Path, tables: dict[str, pd.DataFrame]
) -> None:
    """Frictionless reads every table by its description and finds it as described, and so does
    ``read_table``; every column says what it means, and every file has its checksum."""
    package = Package(str(fictional_report / "tables" / "datapackage.json"))
    described = {resource.path: resource for resource in package.resources}
    assert described.keys() == {f"{name}.csv" for name in tables}
    assert package.resources[0].path == "blocked_sites.csv"
    for path, resource in described.items():
        assert all(one.description for one in resource.schema.fields), path
        frame = read_table(fictional_report / "tables", resource.name.replace("-", "_"))
        for one in resource.schema.fields:
            is_missing = tables[Path(path).stem][one.name] == ""
            assert frame[one.name].dtype.kind in _DTYPES[one.type], (path, one.name)
            if one.type not in ("string", "yearmonth", "boolean"):
                assert (frame[one.name].isna() == is_missing).all(), (path, one.name)
    assert package.validate().flatten(["type", "rowNumber", "message"]) == []
    files = contents(fictional_report)
    sums = files.pop("SHA256SUMS").decode().splitlines()
    assert sums == [f"{hashlib.sha256(files[name]).hexdigest()}  {name}" for name in sorted(files)]


def test_the_draft_on_the_country_is_held_against_its_report(
    fictional_report: Path, tables: dict[str, pd.DataFrame]
) -> None:
    """It is right in some places and wrong in others; its page is linked from the first one."""
    results = tables["claims_audit"].set_index("claim_id")["result"]
    assert set(results[["runs-1", "runs-2", "sites-1", "networks-3"]]) == {"holds"}
    assert set(results[["runs-3", "names-1", "networks-1"]]) == {"does_not_hold"}
    assert 'href="claims-audit.html"' in (fictional_report / "index.html").read_text("utf-8")


def test_counts_add_up(tables: dict[str, pd.DataFrame]) -> None:
    """Months, halves, classes, networks and categories sum to what they are parts of."""
    ledger = dict(tables["ingestion_ledger"].to_numpy().tolist())
    total = int(ledger["kept"])
    months = tables["measurements_by_month"]
    flags = _counts(months, "ok_count", "anomaly_count", "confirmed_count", "failure_count")
    assert (flags.sum(axis=1) == months["measurement_count"].astype(int)).all()
    semesters = tables["semesters"].set_index("period")["measurement_count"].astype(int)
    assert semesters["first"] + semesters["second"] == semesters["all"] == total
    for name in ("measurements_by_month", "networks", "categories"):
        assert tables[name]["measurement_count"].astype(int).sum() == total, name
    changes = _counts(
        tables["network_changes"], "first_measurement_count", "second_measurement_count"
    )
    assert changes.sum().tolist() == [semesters["first"], semesters["second"]]
    categories = _counts(tables["categories"], "domain_count", "blocked_domain_count").sum()
    assert categories.tolist() == [
        tables["verdicts"]["domain"].nunique(),
        len(tables["blocked_sites"]),
    ]


def test_verdicts_add_up(tables: dict[str, pd.DataFrame]) -> None:
    """Classes sum to measurements and halves to the whole; shares lie within their bounds; only
    listed rows name a rule, and each of those has a witness; intervals hold what they claim."""
    verdicts = tables["verdicts"]
    classes = _counts(verdicts, "blocked_count", "down_count", "ok_count", "unknown_count")
    assert (classes.sum(axis=1) == verdicts["measurement_count"].astype(int)).all()
    counted = ["measurement_count", "session_count", "blocked_session_count"]
    sums = verdicts.assign(**_counts(verdicts, *counted)).pivot_table(
        index=["domain", "probe_asn"], columns="period", values=counted, fill_value=0
    )
    for name in counted:
        assert (sums[name]["first"] + sums[name]["second"] == sums[name]["all"]).all(), name
    shares = verdicts.loc[
        verdicts["blocked_share"] != "",
        ["blocked_share_low", "blocked_share", "blocked_share_high"],
    ].astype("float64")
    assert (shares.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    is_listed = verdicts["state"].isin(LISTED)
    for column in ("mechanism", "rule_id", "blocked_from", "witness_report_id"):
        assert ((verdicts[column] != "") == is_listed).all(), column
    assert (verdicts["witness_url"] == "").all()  # OONI Explorer does not know the country
    intervals = tables["blocking_intervals"]
    counts = _counts(intervals, "measurement_count", "session_count", "day_count")
    assert (counts["measurement_count"] >= counts["session_count"]).all()
    assert (counts["session_count"] >= counts["day_count"]).all()
    assert (intervals["blocked_from"] <= intervals["blocked_until"]).all()


def test_the_annex_rests_on_the_verdicts(tables: dict[str, pd.DataFrame]) -> None:
    """Annex, set-aside list, network counts and halves say the same as the verdicts."""
    kinds = dict(zip(tables["networks"]["probe_asn"], tables["networks"]["kind"], strict=True))
    verdicts = tables["verdicts"]
    listed = verdicts[verdicts["state"].isin(LISTED)]
    domestic = listed[listed["probe_asn"].map(kinds).isin(ACCESS)]
    by_period = domestic.groupby("period")["domain"].agg(set)
    by_status = tables["sites"].groupby("status")["domain"].agg(set)
    annexed = set(tables["blocked_sites"]["domain"])
    assert annexed == by_period["all"] == by_status["listed"]
    assert by_status["set_aside"] == set(tables["set_aside"]["domain"])
    assert set(tables["sites"]["domain"]) == set(verdicts["domain"])
    assert _pairs(tables["blocked_site_networks"]) == _pairs(domestic[domestic["period"] == "all"])
    assert set(tables["semester_changes"]["domain"]) == set(domestic["domain"])
    for row in _rows(tables["semesters"]):
        assert int(row.blocked_domain_count) == len(by_period[row.period])
    per_network = _listed(verdicts).groupby("probe_asn")["domain"].nunique()
    for row in _rows(tables["networks"]):
        assert int(row.blocked_domain_count) == per_network.get(row.probe_asn, 0)
        assert (row.rank != "") == (row.kind in ("isp", "mobile", "unknown"))


def test_page_2_shows_the_steps_for_one_pair(fictional_report: Path) -> None:
    """Rates, periods and rivals of a pair whose block ends as the pages of sites say it."""
    html = (fictional_report / "2-confirmation.html").read_text(encoding="utf-8")
    for caption in (
        "Kinds of failure of the pair, and what other pairs say about them",
        "Periods in which the pair fails, beside the thresholds",
        "Other explanations that were considered for this pair",
    ):
        assert caption in html
    assert "After the last failure, a valid test first reached it on 11 April 2024." in html


def test_nothing_published_names_the_machine(fictional_report: Path) -> None:
    """No file holds a folder of this machine: not the repository, the store, the home folder or a
    temporary one."""
    places = (str(ROOT), str(fictional_report.parent), str(Path.home()) + "/", "/tmp/")
    for path in sorted(fictional_report.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            assert not [place for place in places if place.encode() in content], path.name


def test_every_page_says_that_the_country_is_fictional(fictional_report: Path) -> None:
    """One page per notebook but the one to start with, the draft's, and the first page; whoever
    opens any of them is told."""
    pages = sorted(fictional_report.glob("*.html"))
    on_request = "7-sensitivity"
    names = [
        *(book.stem for book in NOTEBOOKS if book.stem != on_request),
        "claims-audit",
        "feedback",
        "index",
        "method-in-brief",
        "narrative",
        "tables",
    ]
    assert [page.stem for page in pages] == names
    for page in pages:
        assert "Fictional country" in page.read_text(encoding="utf-8"), page.name


def test_the_spreadsheets_hold_the_annex(
    fictional_report: Path, tables: dict[str, pd.DataFrame]
) -> None:
    """Same rows, same order, days as days, no cell that is computed when the file is opened, and
    each column explained."""
    for name in ("blocked_sites", "blocked_site_networks"):
        book = openpyxl.load_workbook(fictional_report / "tables" / f"{name}.xlsx")
        rows = list(book[name].iter_rows(min_row=3))
        since = list(tables[name]).index("blocked_from")
        shown = [[row[0].value, str(row[since].value.date())] for row in rows]
        assert shown == tables[name][["domain", "blocked_from"]].to_numpy().tolist()
        assert {cell.data_type for row in rows for cell in row} <= {"s", "n", "d"}
        for place, (column, kind) in enumerate(TABLES[name].columns.items()):
            types = {row[place].data_type for row in rows if row[place].value is not None}
            expected = {"date": "d", "count": "n", "share": "n", "chance": "n"}.get(kind, "s")
            assert types <= {expected}, column
        meanings = [row[1].value for row in book["definitions"].iter_rows(min_row=2)]
        assert len([text for text in meanings if text]) == len(tables[name].columns)
