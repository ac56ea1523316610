"""Which networks count as the country's own: a list first, then words in a network's name."""

from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from analysis.errors import ParameterError
from analysis.reference.networks import (
    clean_name,
    describe,
    kind_by_name,
    load_networks,
)
from analysis.reference.reference_files import REFERENCE

HEADER = "asn,network,operator,kind,source\n"


def test_a_list_comes_before_a_name(tmp_path: Path) -> None:
    """A name is what probes report; what a person wrote with a source outranks it."""
    path = tmp_path / "mine.csv"
    path.write_text(
        HEADER
        + "AS10,Campus Hosting Ltd,Campus,isp,their licence\n"
        + "11,Mobile One,,unknown,registry\n",
        encoding="utf-8",
    )
    reported = {20: "M247 Europe SRL", 11: "VPN Ltd", 10: None, 12: None, 13: "Rural Net", 0: "x"}
    expected = pd.DataFrame(
        [
            (0, "unknown network", "unknown network", "unknown", "none"),
            (10, "Campus Hosting Ltd", "Campus", "isp", "list"),
            (11, "Mobile One", "Mobile One", "mobile", "name rule"),
            (12, "AS12", "AS12", "unknown", "none"),
            (13, "Rural Net", "Rural Net", "unknown", "none"),
            (20, "M247 Europe SRL", "M247 Europe SRL", "vpn", "name rule"),
        ],
        columns=["probe_asn", "network", "operator", "kind", "kind_source"],
    )
    assert_frame_equal(describe(reported, load_networks(path, "QQ")), expected)
    # A registered name is shown where nothing else says one, and moves nothing besides.
    registered = {10: "A", 11: "B", 12: "Twelve VPN Ltd", 13: "C", 20: "D", 0: "E"}
    expected.loc[3, "network"] = "Twelve VPN Ltd"
    assert_frame_equal(describe(reported, load_networks(path, "QQ"), registered), expected)
    assert describe({}, load_networks(None, "QQ")).columns.tolist() == expected.columns.tolist()


def test_words_in_a_name() -> None:
    """Names of real networks, and names that only look like them."""
    for kind, names in {
        "vpn": ("M247 Europe SRL", "Datacamp Limited", "CLOUDFLARENET", "NordVPN S.A."),
        "hosting": ("DigitalOcean, LLC", "AMAZON-02", "Microsoft-Corp-MSN-AS-Block",
                    "DAUN PENH DATA CENTER CO., LTD.", "Gigabit Hosting Sdn Bhd"),
        "education": ("Royal University of Phnom Penh", "Universität Wien"),
        "mobile": ("T-Mobile Polska", "CAMGSM Company Ltd"),
        "isp": ("Telecom Cambodia (T.C.)",),
        # Words inside other words tell nothing.
        "unknown": ("Hostess Travel Network", "Automobiles Net", "Cloudy Bay Net",
                    "Private Customer", "Angkor Data Communication", ""),
    }.items():  # fmt: skip
        assert {name: kind_by_name(name) for name in names} == dict.fromkeys(names, kind)


def test_a_hostile_name_becomes_one_short_line() -> None:
    """What a probe calls its network can hold anything, for as long as it likes."""
    assert clean_name(" a\r\n<b>\u202e\x00 c\u2028 ") == "a <b> c"
    assert len(clean_name("x" * 10_000_000)) == 120
    assert clean_name(None) == ""
    assert kind_by_name("vpn" * 100_000) == "vpn"


def test_a_bad_network_list_is_refused(tmp_path: Path) -> None:
    """A network of the wrong kind would lose its verdicts, or give some that are not ours."""
    path = tmp_path / "networks.csv"
    for line, message in (
        ("x,N,O,isp,s", "line 2: asn 'x' is not a number"),
        ("0,N,O,isp,s", "line 2: asn '0' is not a number"),
        ("4294967296,N,O,isp,s", "line 2: asn '4294967296'"),
        ("٣,N,O,isp,s", "line 2: asn '٣'"),
        ("1,N,O,ISP,s", "line 2: kind 'ISP' is none of isp, mobile"),
        ("1,N,O,isp,", "line 2: source is empty"),
        ("1,N,O,isp,s\nAS1,M,P,vpn,s", "line 3: AS1 is listed twice"),
        ("1,N,O,isp", "line 2: 4 cells where the header has 5"),
    ):
        path.write_text(f"{HEADER}{line}\n", encoding="utf-8")
        with pytest.raises(ParameterError) as error:
            load_networks(path, "KH")
        assert str(error.value).startswith(f"NETWORKS={path}: {message}")


def test_shipped_networks_are_read() -> None:
    """Every country's list is well-formed; Cambodia's names its largest network."""
    for path in sorted((REFERENCE / "networks").glob("*.csv")):
        assert load_networks(None, path.stem).networks
    viettel = load_networks(None, "KH").networks[38623]
    assert (viettel.kind, "Metfone" in viettel.operator) == ("mobile", True)
