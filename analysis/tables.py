"""The tables that a report publishes: their columns, their checks, and their CSV files.

Notebooks hand their results on in the same CSVs, so a reviewer has what the next stage used.
``columns`` has the type and meaning of each column. Cells are written so that they are harmless to
open in a spreadsheet.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

from analysis.columns import Kind, column_of
from analysis.errors import ContractError, ParameterError, suggest
from analysis.period import MOMENT

#: A spreadsheet runs a cell that starts with one of these (in some locales also the full-width
#: forms), except a negative decimal number. A text that already starts with an apostrophe gets
#: another one, so that reading gives back each text unchanged.
_RUNNABLE = re.compile(r"(?!-\d+\.\d+$)'*[=+\-@\t\r＝＋－＠]")
_DISARMED = re.compile(f"'(?={_RUNNABLE.pattern})")
#: Types of numbers and times; other columns are texts.
_TYPES: Mapping[Kind, pa.DataType] = {
    "count": pa.int64(),
    **dict.fromkeys(("share", "score", "number", "evidence", "chance"), pa.float64()),
    **dict.fromkeys(("date", "time"), pa.timestamp("us")),
}
_DTYPES: Mapping[Kind, str] = {
    **dict.fromkeys(("count", "asn"), "Int64"),
    **dict.fromkeys(("share", "score", "number", "evidence", "chance"), "float64"),
    **dict.fromkeys(("date", "time"), MOMENT),
}
#: Formats of numbers and times; other numbers have no fixed format.
_FORMS: Mapping[Kind, str] = {
    "share": "{:.4f}",
    "score": "{:.4f}",
    "evidence": "{:.1f}",
    "chance": "{:.1e}",
    "date": "{:%Y-%m-%d}",
    "time": "{:%Y-%m-%dT%H:%M:%S}",
}
_NETWORK = re.compile("(?:AS)?([0-9]{1,10})", re.ASCII | re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def map_texts(column: pd.Series, texts: Mapping[Any, str]) -> pd.Series:
    """Return the text of each value, empty if it has none.

    ``Series.map`` would return numbers for an empty column.
    """
    return pd.Series([texts.get(value, "") for value in column], column.index, "str")


def tell_cells(column: pd.Series, kind: Kind) -> NDArray[np.object_]:
    """Return the cells of a column; each distinct value is formatted once, as most repeat."""
    write = partial(_cell, kind=kind)
    if column.dtype == object:  # may hold both 1 and True, which are different cells
        write_once = lru_cache(None, typed=True)(write)
        return np.array([write_once(value) for value in column], object)
    positions, values = pd.factorize(column, use_na_sentinel=False)
    return np.array(list(map(write, pd.Series(values).to_numpy(object))), object)[positions]


def _cell(value: Any, kind: Kind) -> str:
    if value is None or value is pd.NaT or (not isinstance(value, str) and pd.isna(value)):
        return ""
    if kind == "flag":
        return "true" if value else "false"
    if kind == "count":
        return "" if value == "" else disarm(str(int(value)))
    if kind == "asn":
        return disarm(tell_network(value))
    if kind == "number" and not isinstance(value, str):
        short = f"{value:g}" if isinstance(value, int) else str(value)
        return short if float(short) == value else str(value)
    if value == "" or kind not in _FORMS:
        return disarm(str(value))
    return _FORMS[kind].format((pd.Timestamp if kind in ("date", "time") else float)(value))


def tell_network(number: object) -> str:
    """Return a network as ``AS123``, from 123, 123.0 or ``AS123``."""
    text = str(number).removesuffix(".0")
    return f"AS{text}" if text.isascii() and text.isdigit() else text


def name_network(name: object, number: object) -> str:
    """Return a network as ``Name (AS123)``, or ``AS123`` if it has no other name."""
    asn = tell_network(number)
    return f"{name} ({asn})" if name and name != asn else asn


def tell_networks(numbers: Iterable[object]) -> str:
    """Return networks as a cell lists them, each once: ``AS123;AS124``."""
    return ";".join(dict.fromkeys(map(tell_network, numbers)))


def typed(name: str, rows: Any) -> pd.DataFrame:
    """Return rows of a published table as a frame with its columns and types."""
    kinds = TABLES[name].columns
    dtypes = {column: _DTYPES[kind] for column, kind in kinds.items() if kind in _DTYPES}
    return pd.DataFrame(rows, columns=list(kinds)).astype(dtypes)


def list_rows(frame: pd.DataFrame) -> list[Any]:
    """Return the rows as named tuples, with None for missing values, because NaT is true."""
    objects = frame.astype(object)  # reading Arrow's values one by one is slow
    return list(objects.where(frame.notna(), None).itertuples(index=False))


def read_network(text: object) -> int:
    """Return the number of a network written ``AS123`` or ``123``; -1 for any other text."""
    match = _NETWORK.fullmatch(str(text))
    return int(match[1]) if match else -1


def read_rows(path: Path, columns: Mapping[str, Kind]) -> pd.DataFrame:
    """Read a CSV whose cells ``tell_cells`` wrote.

    Args:
        path: the file.
        columns: their types; Arrow infers the type of a column that is not among them.

    Raises:
        pyarrow.ArrowInvalid: the file is not CSV, or a cell does not fit the type of its column.
        ValueError: two columns have the same name.
    """
    size = max(path.stat().st_size, 1)  # a single cell may be as long as the file
    types = {name: _TYPES.get(kind, pa.string()) for name, kind in columns.items()}
    frame: pd.DataFrame = read_csv(
        path,
        ReadOptions(block_size=size),
        ParseOptions(newlines_in_values=True),
        ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=False),
    ).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    if not frame.columns.is_unique:
        raise ValueError("two columns have one name")
    for name in frame.columns.intersection(list(columns)):
        if columns[name] == "flag":
            is_filled = frame[name] != ""
            flags = frame[name] == "true"
            frame[name] = flags if is_filled.all() else flags.astype("boolean").where(is_filled)
        elif columns[name] == "asn":
            frame[name] = frame[name].str.removeprefix("AS").replace("", None).astype("Int64")
        elif columns[name] not in _TYPES:
            frame[name] = _arm(frame[name])
    if frame.empty:  # pandas 3.1 cannot join texts that come from Arrow without a row
        frame = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in frame.dtypes.items()})
    return frame


def _arm(column: pd.Series) -> pd.Series:
    """Return the texts without the apostrophes that ``disarm`` added."""
    texts = {text: text[1:] for text in column.unique() if _DISARMED.match(text)}
    return column.map(texts).fillna(column) if texts else column


def disarm(text: str) -> str:
    """Return a text that no spreadsheet runs: an apostrophe is put before one that it would run."""
    clean = _CONTROL.sub("�", text)
    return f"'{clean}" if _RUNNABLE.match(text) else clean


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        key: the columns that identify a row.
        about: the meaning of one row, in Markdown.
        columns: the kind of each column, in order.
    """

    name: str
    key: tuple[str, ...]
    about: str
    columns: Mapping[str, Kind]


def _table(name: str, key: str, about: str, columns: str) -> Table:
    kinds = {column: column_of(name, column).kind for column in columns.split()}
    return Table(name, tuple(key.split()), " ".join(about.split()), kinds)


#: The columns of a verdict, of a listed stretch and of a change, in every table that has them.
_VERDICTS = """
    domain probe_asn period state mechanism rule_id measurement_count blocked_count
    down_count ok_count unknown_count session_count blocked_session_count down_session_count
    ok_session_count day_count blocked_share blocked_share_low blocked_share_high
    blocked_from blocked_until sessions_to_flip resolver_asns operator set_aside_reason note
    witness_report_id witness_input witness_url evidence chance schedule insufficient_reason
    last_seen_blocked inputs
"""
_INTERVALS = """
    domain probe_asn blocked_from mechanism last_seen_open blocked_until
    first_seen_open_again measurement_count session_count day_count longest_gap_days state
    schedule evidence chance last_seen_open_time blocked_from_time blocked_until_time
    first_seen_open_again_time last_seen_blocked blocked_count blocked_session_count
"""
_NEWS = """
    look earlier_look change test_name item probe_asn network status state mechanism
    schedule last_seen_open blocked_from blocked_until first_seen_open_again session_count
    blocked_session_count day_count chance sessions_to_flip witness_url note cause
"""
#: The published tables, in the order of docs/tables.md.
TABLES = {
    table.name: table
    for table in (
        _table(
            "ingestion_ledger",
            "",
            """One row per reason. Each line of each archive object is counted under the first
            reason that applies.""",
            "reason line_count",
        ),
        _table(
            "objects_not_read",
            "key",
            """One row per archive object that could not be read at all. Normally the table has no
            rows.""",
            "key why",
        ),
        _table(
            "fields_met",
            "kind name",
            """Fields, versions and failures that this version of the workbook does not know, and
            fields that were missing or of another type although the rules read them. The fields are
            compared in the first line of each archive object and in each 64th line after it; test
            versions and failures are read from all lines. At most 200 names: first those that can
            stop a run, then the most frequent. A run stops with exit status 4 if `is_too_much` is
            true in any row, unless `ACCEPT_FIELDS=1` is given.""",
            """kind name measurement_count measurement_share network_count day_share
            many_network_count tested_network_count first_day last_day is_too_much""",
        ),
        _table(
            "measurements_by_month",
            "month",
            """OONI's own flags. Each measurement counts under one flag: a failure first, then
            confirmed, then anomaly, then ok. The four counts sum to `measurement_count`.""",
            "month measurement_count ok_count anomaly_count confirmed_count failure_count",
        ),
        _table(
            "thresholds",
            "name",
            """Every threshold of the method in this run. The other numbers of [the
            method](method.md#numbers) are not parameters. Later notebooks read this table, so that
            all use the same thresholds.""",
            "name value meaning published_value least most",
        ),
        _table(
            "verdicts",
            "domain probe_asn period",
            "One row per site and network that was tested, for the whole period and for each half.",
            _VERDICTS,
        ),
        _table(
            "blocking_intervals",
            "domain probe_asn blocked_from blocked_from_time",
            """One row per stretch that is blocked or likely blocked, on networks of any kind. A
            site blocked twice on a network has two rows.""",
            _INTERVALS,
        ),
        _table(
            "blocked_addresses",
            "address probe_asn blocked_from blocked_from_time",
            """One row per stretch in which a network cut an address that several tested sites
            share. What is behind such an address is cut off with it, whatever it is.""",
            """address probe_asn site_asn blocked_from mechanism last_seen_open blocked_until
            first_seen_open_again measurement_count session_count day_count longest_gap_days
            schedule evidence chance site_count cut_site_count cut_sites last_seen_open_time
            blocked_from_time blocked_until_time first_seen_open_again_time last_seen_blocked""",
        ),
        _table(
            "withheld_intervals",
            "domain probe_asn blocked_from blocked_from_time",
            """One row per stretch of failures that is not listed: the evidence is too weak, no
            single kind of failure is frequent enough, there are too few sessions or days, another
            explanation is possible, or the site fails in the same way elsewhere, or other sites
            fail in the same way here.""",
            """domain probe_asn blocked_from mechanism last_seen_open blocked_until
            first_seen_open_again measurement_count session_count day_count longest_gap_days state
            schedule evidence chance last_seen_open_time blocked_from_time blocked_until_time
            first_seen_open_again_time reason last_seen_blocked blocked_count
            blocked_session_count""",
        ),
        _table(
            "chances",
            "domain probe_asn",
            """One row per pair with enough failures of one kind, listed or not, traces of blocking
            included.""",
            "domain probe_asn evidence chance",
        ),
        _table(
            "answers",
            "",
            """One row per resolver network, answer address and quarter: answers that the control of
            the same measurement did not get. The confirmation page shows the first rows; the rules
            use all rows.""",
            """resolver_asn address quarter name_count dead_name_count live_name_count
            dead_session_count live_session_count measurement_count is_in_control is_proven
            is_public profile own_live_name_count""",
        ),
        _table(
            "pages",
            "",
            "One row per network and page that was served for more than one name.",
            """probe_asn title name_count reached_elsewhere_count network_count scattered_share
            showing_share measurement_count is_blockpage""",
        ),
        _table(
            "blocked_sites",
            "domain",
            """The annex: sites that are blocked or likely_blocked in the whole period on at least
            one access network of the country (kinds isp, mobile, education, unknown). Counts are
            summed over the networks on which the site is listed. `blocked_sites.xlsx` has the same
            rows, `blocked_site_networks.xlsx` the rows of each network.""",
            """domain registrable_domain category_code category is_local state mechanisms probe_asns
            networks blocked_from blocked_until measurement_count blocked_count session_count
            witness_url note last_seen_blocked all_measurement_count all_session_count""",
        ),
        _table(
            "blocked_site_networks",
            "domain probe_asn blocked_from",
            """One row per listed stretch of a site on an access network: the rows of the annex.
            Counts and shares use the sessions inside the stretch, and inside its hours if it has a
            schedule. Stretches of a pair that begin on the same day are one row.""",
            """domain probe_asn blocked_from registrable_domain category_code is_local network
            operator state mechanism last_seen_open blocked_until first_seen_open_again schedule
            session_count blocked_session_count day_count blocked_share blocked_share_low
            blocked_share_high chance sessions_to_flip resolver_asns witness_url note
            last_seen_blocked""",
        ),
        _table(
            "sites",
            "domain",
            "One row per tested name. A name without a row was not tested in the period.",
            """domain registrable_domain category_code is_local status reason measurement_count
            session_count network_count page""",
        ),
        _table(
            "rules",
            "",
            "One row per rule of this run, in the order in which they are asked within a layer.",
            "layer rule_id outcome mechanism is_artefact condition comment measurement_count",
        ),
        _table(
            "set_aside",
            "domain",
            "Sites with problems that are not in the annex, with the reason.",
            "domain reason measurement_count anomaly_count networks note flagged_count",
        ),
        _table(
            "semesters",
            "period",
            """The whole period and its halves. The measurements of the halves add up to the whole.
            Sites and networks do not, because the halves share them.""",
            """period since until measurement_count domain_count network_count operator_count
            blocked_domain_count blocked_local_domain_count""",
        ),
        _table(
            "semester_changes",
            "domain",
            """One row per site that is listed in the whole period or in a half. The comparison uses
            the access networks on which the site is listed in at least one half, and listed or
            reachable in the other.""",
            """domain is_local change first_state second_state first_measurement_count
            second_measurement_count matched_networks note first_matched_state second_matched_state
            is_interrupted""",
        ),
        _table(
            "network_changes",
            "probe_asn",
            "Which networks measured in which half.",
            "probe_asn network first_measurement_count second_measurement_count change",
        ),
        _table(
            "networks",
            "probe_asn",
            "Every network that measured.",
            """probe_asn network operator kind kind_source measurement_count domain_count day_count
            tested_enough_count blocked_domain_count mechanisms rank""",
        ),
        _table(
            "categories",
            "category_code",
            """Each site has one category: by its exact URL on the country's list, then by its host
            there, then by the global list. Sites on no list are under `NONE`, so the columns add
            up.""",
            "category_code category domain_count blocked_domain_count measurement_count",
        ),
        _table(
            "coverage_by_month",
            "month scope item",
            """One row per month and scope: in total, on a network, in a category, on a list, by a
            test. Without a test in the month there is no row.""",
            """month scope item name measurement_count session_count domain_count network_count
            day_count untested_day_count longest_gap_days""",
        ),
        _table(
            "indicators",
            "scope period",
            """Monitoring indicators: one row per month and per quarter of the period, with zeros if
            nobody tested. A country's totals contain the tests of all volunteers, not only those of
            a project.""",
            """scope period since until is_whole measurement_count session_count network_count
            domain_count new_domain_count day_count untested_day_count app_measurement_count
            measurement_change_share session_change_share network_change_share domain_change_share
            app_measurement_change_share""",
        ),
        _table(
            "what_to_test",
            "domain probe_asn",
            """Pairs of a site and an access network that are worth a test: for each network, at
            most 200 pairs with the highest scores. The sites come from the test lists and the
            annex, without those whose name is withheld. In the same folder,
            `what_to_test.<network>.json` is a descriptor for OONI Run (version 2, ooni/spec bk-005)
            with the sites of the week's plan on that network, and `what_to_test.<network>.txt` has
            the same addresses, one per line. `all` means all networks; it has 140 sites at most.
            `everyday_sites.json` and `everyday_sites.txt` have up to thirty everyday sites without
            any anomaly, for networks on which hardly anything was ever reached.""",
            """domain probe_asn network rank score suspicion closeness age reach test_reason url
            category_code session_count blocked_session_count day_count last_tested days_untested
            tests_needed listed_network_count judged_network_count""",
        ),
        _table(
            "testing_plan",
            "day probe_asn domain",
            """A plan of the seven days after the period: on each network up to twenty sites a day,
            the highest scores first. A site comes once a day, on as many days as it needs tests,
            while there is room.""",
            "day probe_asn domain network place url test_reason rank",
        ),
        _table(
            "list_care",
            "file line problem",
            """Lines of the test lists that have problems, for a pull request to the lists. Lines
            with a withheld name are left out: their number would give it away.""",
            "file line problem action domain url why line_now line_proposed",
        ),
        _table(
            "messaging_verdicts",
            "test_name probe_asn period",
            """The verdict on an app or tool on a network. A test has parts (the app's own
            endpoints, the web page, …), and each part is judged separately. The row is for the part
            with the strongest state; it counts the sessions of this part.""",
            """test_name probe_asn period state schedule evidence chance mechanism measurement_count
            session_count blocked_session_count ok_session_count failure_count day_count
            elsewhere_anomaly_share blocked_from blocked_until blocked_from_time note witness_url
            anomaly_count parts open_parts control set_aside_reason network last_seen_blocked""",
        ),
        _table(
            "messaging_intervals",
            "test_name probe_asn part blocked_from_time",
            "One row per listed stretch of a part on a network.",
            """test_name probe_asn part blocked_from_time blocked_from state schedule evidence
            chance mechanism last_seen_open_time blocked_until blocked_until_time
            first_seen_open_again_time measurement_count session_count day_count
            elsewhere_anomaly_share endpoint_count cut_endpoint_count cut_endpoints
            last_seen_blocked blocked_count blocked_session_count""",
        ),
        _table(
            "messaging_by_month",
            "test_name month",
            """OONI's flags of each test, one flag per measurement. A month without a test has no
            row.""",
            """test_name month measurement_count ok_count anomaly_count confirmed_count
            failure_count counted_by""",
        ),
        _table(
            "messaging_ledger",
            "",
            """How each line of the objects of these tests was counted. These lines are not in
            `ingestion_ledger.csv`.""",
            "test_name reason line_count",
        ),
        _table(
            "messaging_not_read",
            "key",
            "Objects of these tests that could not be read at all.",
            "key why",
        ),
        _table(
            "messaging_defects",
            "test_name since",
            "Weeks in which a test failed in most other countries: a broken instrument.",
            "test_name since until share country_count cause source",
        ),
        _table(
            "findings",
            "id",
            """The findings of the first page. `findings.json` in the same folder has the values of
            their sentences and figures, so that all languages say the same.""",
            "id kind rank claim evidence decision",
        ),
        _table(
            "claims_audit",
            "claim_id",
            """One row per statement of a draft (`CLAIMS`), checked against sums, published counts
            and the tables of the report.""",
            "claim_id where claim relation result arithmetic",
        ),
        _table(
            "decisions",
            "",
            """One row per decision of a meeting ([data/review](../data/review/README.md)), by
            status, then by item. No verdict and no other number depends on it.""",
            "item decision reason date role status period method",
        ),
        _table(
            "changes",
            "kind item",
            """One row per difference from an earlier report, if the run was given one (parameter
            `PREVIOUS`).""",
            "kind item before after cause note",
        ),
        _table(
            "watch",
            "look change test_name item probe_asn",
            """Made by `make watch`, not by a report: one row per change of a site, an app or a tool
            on an access network, at this look and at earlier looks whose last day is in the
            period.""",
            _NEWS,
        ),
        _table(
            "watch_countries",
            "probe_cc look change test_name item probe_asn",
            """Made by `make watch` on several countries: the rows of each country's
            `watch.csv`.""",
            f"probe_cc {_NEWS}",
        ),
        _table(
            "watch_standing",
            "test_name item probe_asn",
            """The status of each pair of site and access network at the last look. The next look is
            compared with this table.""",
            """test_name item probe_asn network status state mechanism schedule last_seen_open
            blocked_from blocked_until first_seen_open_again session_count blocked_session_count
            day_count chance sessions_to_flip witness_url note""",
        ),
        _table(
            "field_check",
            "measurement_uid",
            """Made by `make field-check`, not by a report: one row per measurement that an analyst
            labelled, beside the judge's reading of this measurement alone and OONI's flag.""",
            """measurement_uid day domain probe_cc probe_asn label confidence mechanisms
            weight flag class mechanism rule_id is_artefact comparison note witness_url""",
        ),
        _table(
            "field_check_events",
            "",
            """Made by `make field-check PROBE_CC=…`: one row per incident or labelled week, site
            and network, and what a report of the days around it says. In the order of the days.""",
            """event first_day domain probe_asn label result listed_network_count network_count
            last_seen_open blocked_from source_url""",
        ),
        _table(
            "side_by_side",
            "probe_cc",
            """Made for several countries side by side, not by a report: one row per country, in the
            order of the codes. Counts cover the whole period and the country's access networks;
            `measurement_count` covers all networks.""",
            """probe_cc country is_fictional since until common_domain_count
            common_blocked_domain_count common_blocked_share common_blocked_share_low
            common_blocked_share_high common_pair_count common_blocked_pair_count
            common_blocked_pair_share measurement_count access_measurement_count blocked_count
            blocked_measurement_share domain_count blocked_domain_count blocked_domain_share
            own_domain_count network_count blocked_network_count largest_network_share month_count
            tested_month_count pair_count told_pair_count told_pair_share blocked_pair_count""",
        ),
        _table(
            "side_by_side_mechanisms",
            "mechanism probe_cc",
            "How the listed pairs of each country are blocked.",
            "mechanism probe_cc pair_count pair_share",
        ),
        _table(
            "side_by_side_sites",
            "domain probe_cc",
            "One row per site that any country lists, and per country that tested it.",
            "domain probe_cc state network_count blocked_network_count mechanisms is_common",
        ),
        _table(
            "topic_countries",
            "probe_cc",
            """Made by `make topic`, as are all tables whose names begin with `topic_`: one row per
            country, in the order of the codes. Counts are of the topic's sites on the country's
            access networks.""",
            """probe_cc country is_fictional since until reading domain_count told_domain_count
            blocked_domain_count network_count blocked_network_count pair_count told_pair_count
            blocked_pair_count measurement_count input_digest command""",
        ),
        _table(
            "topic_sites",
            "probe_cc domain",
            """One row per site of the topic that a country tested, as its own report would judge
            it. Counts are of access networks; a site that only other networks tested has no
            state.""",
            """probe_cc domain category state insufficient_reason reason network_count
            told_network_count blocked_network_count mechanisms blocked_from last_seen_blocked
            measurement_count session_count blocked_session_count chance""",
        ),
        _table(
            "topic_verdicts",
            "probe_cc domain probe_asn",
            """The rows of `verdicts.csv` of each country's own report for the whole period, of the
            topic's sites, with name and kind of the network.""",
            f"probe_cc {_VERDICTS} network kind",
        ),
        _table(
            "topic_intervals",
            "probe_cc domain probe_asn blocked_from blocked_from_time",
            """The rows of `blocking_intervals.csv` of each country's own report, of the topic's
            sites, with name and kind of the network.""",
            f"probe_cc {_INTERVALS} network kind",
        ),
        _table(
            "method_comparison",
            "domain",
            "One row per site that any of the methods on page 5 lists, from the same measurements.",
            """domain state this_method imap_all imap_none ooni_v5 ooni_confirmed ooni_anomaly
            own_baseline set_aside_reason why""",
        ),
        _table(
            "method_pairs",
            "method domain probe_asn",
            """One row per method and pair of site and network that this method lists on an access
            network, or that the other method lists on any network.""",
            "method domain probe_asn is_listed reason",
        ),
        _table(
            "validation_accuracy",
            "part measure stratum",
            """The last validation on simulated countries, as are all tables whose names begin with
            `validation_`. They are of the method, not of the country: two reports
            made with the same release have the same ones. One row per measure and
            group.""",
            "part measure stratum success_count trial_count share lower_share upper_share",
        ),
        _table(
            "validation_apps",
            "measure stratum",
            "The same for apps and circumvention tools.",
            "measure stratum success_count trial_count share lower_share upper_share",
        ),
        _table(
            "validation_chances",
            "measure stratum",
            "How often pairs that nobody blocks have a small chance.",
            "measure stratum success_count trial_count share lower_share upper_share",
        ),
        _table(
            "validation_constants",
            "",
            """One row per number of the method and value to which it was moved, each alone, on the
            countries of `validation_examined.csv`.""",
            """constant module value moved flipped_pair_count missed_pair_count false_pair_count
            rules_version""",
        ),
        _table(
            "validation_edge_errors",
            "part edge stratum",
            "How far the given dates of blocks are from the true ones.",
            """part edge stratum edge_count error_median error_p90 error_max width_median
            narrowest_median""",
        ),
        _table(
            "validation_examined",
            "situation",
            """One row per situation of an outside examination, each a simulated country with this
            one problem.""",
            """situation truth measurement_count blocked_pair_count found_pair_count
            false_pair_count false_site_count undecidable""",
        ),
        _table(
            "validation_false_positives",
            "part measure stratum",
            "What is listed wrongly, by situation.",
            "part measure stratum success_count trial_count share lower_share upper_share",
        ),
        _table(
            "validation_forgery",
            "",
            "One row per kind of forger, claim and truth: what forged reports moved.",
            "forger claim is_blocked pair_count moved_count newly_listed_count broken_count",
        ),
        _table(
            "validation_sensitivity",
            "threshold value",
            "Each threshold at other values, each alone, on the countries of the part `fit`.",
            """threshold value is_used listed_pair_count false_pair_count blocked_pair_count
            missed_pair_count false_site_count missed_site_count
            wrong_mechanism_count edge_count edge_not_found_count edge_outside_count
            false_edge_count error_count""",
        ),
        _table(
            "validation_settings",
            "name",
            "What the countries were judged by.",
            "name value",
        ),
        _table(
            "validation_unlisted_states",
            "",
            """One row per part, situation, truth and state: the states of pairs that are not
            listed.""",
            "part situation is_blocked state pair_count",
        ),
        _table(
            "validation_worlds",
            "world",
            "One row per simulated archive.",
            """world part seed coverage network_count name_count new_share measurement_count
            block_count""",
        ),
        _table(
            "validation_steering",
            "measure stratum",
            "Whether the plan of page 9 finds more blocks.",
            "measure stratum success_count trial_count share lower_share upper_share wrong_count",
        ),
        _table(
            "threshold_sweep",
            "threshold value",
            """Only in a report with page 7. The list with each threshold at other values, each
            alone, the others as published.""",
            """threshold value is_standing blocked_domain_count blocked_pair_count gained_count
            lost_count gained lost""",
        ),
        _table(
            "rule_change",
            "domain probe_asn",
            """Only in a report with page 7. The pairs whose state in the whole period differs in
            the page's example of changed rules.""",
            """domain probe_asn published_state state change published_rule_id rule_id
            set_aside_reason""",
        ),
        _table(
            "test_versions",
            "month version",
            "One row per month and version of the test that made measurements in it.",
            "month version first_measurement_count second_measurement_count",
        ),
        _table(
            "run_counts",
            "known_by",
            "How measurements were put together to runs.",
            "known_by run_count measurement_count single_run_count repeated_run_count",
        ),
        _table(
            "ooni_counts",
            "month flag",
            """Only if the source is OONI's archive. The counts of `measurements_by_month.csv`
            beside those of OONI's API.""",
            "month flag here_count ooni_count difference unexplained explanation",
        ),
        _table(
            "unread_parts",
            "item",
            """Months and networks of which more than one object, or line, in a hundred could not be
            read. Normally the table has no rows.""",
            "item object_count unread_object_count line_count unread_line_count",
        ),
        _table(
            "broken_sessions",
            "probe_asn",
            """The sessions that are left out because most sites failed in them that work elsewhere,
            or all certificates failed; here a session is a run. One row per network
            with such a session.""",
            "probe_asn session_count domain_count failing_name_count",
        ),
        _table(
            "version_failures",
            "",
            """One row per version of the probe and kind of failure that only one kind of probe had;
            such failures are withheld.""",
            "software failure_kind site_count session_count",
        ),
        _table(
            "unlisted_traces",
            "domain probe_asn rule_id",
            """The traces of blocking on pairs that are not listed. `verdicts.csv` has the reason in
            its rows of the whole period.""",
            "domain probe_asn rule_id measurement_count",
        ),
        _table(
            "session_days",
            "domain probe_asn day",
            """One row per day with a test of a listed pair of site and network, or of one with
            failures that are not listed (`withheld_intervals.csv`). No rows with
            `WITNESSES=none`.""",
            """domain probe_asn day session_count blocked_session_count ok_session_count
            down_session_count unclear_session_count""",
        ),
        _table(
            "tested_stretches",
            "item first_day",
            """The bars of page 9's figure: consecutive days with a test, of all networks together
            and of the access networks with most days, at most twenty.""",
            "item first_day last_day",
        ),
        _table(
            "source_shares",
            "source",
            "How far one or two sources dominate the measurements.",
            "source source_count largest largest_share two_largest_share equal_source_count",
        ),
        _table(
            "list_changes",
            "month list",
            "Lines that were added to the test lists in the period.",
            "month list line_count tested_line_count",
        ),
        _table(
            "list_additions",
            "",
            """One row per line that was added, by date. A line whose name is withheld is counted in
            `list_changes.csv` only.""",
            "date_added file url category first_tested days_untested",
        ),
        _table(
            "unlisted_sites",
            "domain",
            """Sites on no test list that three or more networks tested on ten or more days, and
            nobody in the last four weeks.""",
            "domain first_tested last_tested measurement_count network_count day_count",
        ),
        _table(
            "messaging_elsewhere",
            "test_name week",
            """What OONI's counts of other countries say of each test of an app or tool. The table
            has no rows if these counts are not available.""",
            "test_name week elsewhere_anomaly_share country_count",
        ),
        _table(
            "messaging_country",
            "test_name",
            """OONI's counts of the whole country in the period. The table has no rows if they are
            not available.""",
            """test_name measurement_count ok_count anomaly_count confirmed_count failure_count
            elsewhere_anomaly_share""",
        ),
    )
}

#: Tables that a notebook or a script can query after ``confirm``, in the order of docs/codebook.md.
#: Some are named as a published table, so all have a prefix here.
QUERIED = (
    _table(
        "study.outcomes",
        "",
        "",
        """row_id input measurement_start_time day session domain registrable_domain probe_asn
        resolver_asn site_asn is_https software is_anomaly is_confirmed is_failure is_failing
        dns_rule tcp_rule tls_rule http_rule rule_id first_rule class mechanism evidence is_artefact
        is_about_target set_aside rule_order""",
    ),
    _table(
        "study.sessions",
        "",
        """A session counts once for a site, however many measurements it has. It shows what most of
        them show; a tie shows nothing.""",
        """domain probe_asn session day received_day time software is_asked is_via_own
        is_via_domestic is_scored is_refused class kind is_dns is_speaking is_heard""",
    ),
    _table(
        "study.rules",
        "",
        "",
        "rule_id class mechanism evidence is_artefact is_about_target set_aside rule_order",
    ),
    _table(
        "study.broken_sessions",
        "",
        "",
        "session probe_asn name_count failing_name_count",
    ),
)

#: Table → the notebook that writes it. No notebook writes ``findings``, ``claims_audit``,
#: ``decisions``, ``changes`` and tables that do not belong to a report.
WRITTEN_BY: Mapping[str, str] = {
    name: notebook
    for notebook, names in {
        "1-ingestion": "ingestion_ledger objects_not_read measurements_by_month fields_met "
        "test_versions run_counts ooni_counts unread_parts",
        "2-confirmation": "thresholds verdicts blocking_intervals withheld_intervals chances "
        "networks answers pages rules broken_sessions version_failures unlisted_traces "
        "session_days",
        "3-semester-comparison": "semesters semester_changes network_changes",
        "4-blocked-sites": "blocked_addresses blocked_sites blocked_site_networks sites set_aside "
        "categories",
        "5-method-comparison": "method_comparison method_pairs",
        "6-validation": "validation_accuracy validation_apps validation_chances "
        "validation_constants validation_edge_errors validation_examined "
        "validation_false_positives validation_forgery validation_sensitivity "
        "validation_settings validation_unlisted_states validation_worlds",
        "7-sensitivity": "threshold_sweep rule_change",
        "8-messaging-circumvention": "messaging_verdicts messaging_intervals messaging_by_month "
        "messaging_ledger messaging_not_read messaging_defects messaging_elsewhere "
        "messaging_country",
        "9-coverage": "coverage_by_month indicators what_to_test testing_plan list_care "
        "validation_steering tested_stretches source_shares list_changes list_additions "
        "unlisted_sites",
    }.items()
    for name in names.split()
}


def write_table(folder: str | Path, name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Check a table against its contract and write it as ``folder/name.csv``.

    Args:
        folder: made if it does not exist.
        frame: with the contract's columns; any others are left out.

    Returns:
        The table as ``read_table`` returns it, so that a notebook shows what it wrote.

    Raises:
        ContractError: a column is missing, a key is empty or repeated, or a count is negative.
    """
    table = TABLES[name]
    missing = [column for column in table.columns if column not in frame]
    if missing:
        raise ContractError(f"{name}: no column {', '.join(missing)}")
    cells = pd.DataFrame(
        {column: tell_cells(frame[column], kind) for column, kind in table.columns.items()},
        columns=list(table.columns),
        dtype=object,  # reading Arrow's texts one by one is slow
    )
    _check_key(table, cells)
    if table.key:
        cells = cells.sort_values(list(table.key), ignore_index=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(cells.columns)
    writer.writerows(zip(*(cells[name].to_numpy() for name in cells), strict=True))
    path = Path(folder) / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_aside(path, text.getvalue())
    return read_table(folder, name)


def read_table(folder: str | Path, name: str) -> pd.DataFrame:
    """Read a published table back, typed.

    Returns:
        Text columns as text (empty: ``""``), a network's number and counts as nullable integers,
        shares, evidence and chance as floats, flags as booleans, days and times as
        ``period.MOMENT``; an empty cell is missing. In the order of the file.

    Raises:
        ParameterError: the table does not exist, because the notebook that writes it has not run;
            or its file was changed.
    """
    if name not in TABLES:
        raise ParameterError("table", name, f"there is no such table{suggest(name, TABLES)}")
    table = TABLES[name]
    path = Path(folder) / f"{name}.csv"
    if not path.is_file():
        writer = WRITTEN_BY.get(name)
        advice = f"; run {writer} first, with the same parameters" if writer else ""
        raise ParameterError("tables", folder, f"{name}.csv is not in it{advice}")
    try:
        return read_rows(path, table.columns)[list(table.columns)]
    except (ValueError, KeyError, pa.ArrowException) as error:
        fault = f"{name}.csv is not as the workbook writes it: {error}"
        raise ParameterError("tables", folder, fault) from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all, with the same bytes for the same content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_aside(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _write_aside(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8", newline="")
    part.replace(path)


def _check_key(table: Table, cells: pd.DataFrame) -> None:
    for column in table.key:
        if (cells[column] == "").any():
            raise ContractError(f"{table.name}: a row has no {column}")
    if table.key and cells.duplicated(list(table.key)).any():
        row = cells[cells.duplicated(list(table.key))].iloc[0]
        key = ", ".join(f"{column}={row[column]}" for column in table.key)
        raise ContractError(f"{table.name}: two rows with {key}")
    for column, kind in table.columns.items():
        if kind == "count" and any(text.startswith("'") for text in cells[column].unique()):
            raise ContractError(f"{table.name}: {column} is negative")
