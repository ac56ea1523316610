"""The fast judge agrees with a plain one on random small studies."""

from collections import defaultdict
from math import log
from random import Random

import pytest

from analysis.outcomes.rules import RULES
from analysis.outcomes.steps import create_views, read_type
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.study.confirmation import Maker, Method
from analysis.verdicts.blocks import find_blocks
from analysis.verdicts.series import FAILING
from analysis.verdicts.sessions import KINDS, SESSION_VIEWS
from analysis.verdicts.verdicts import weigh_sessions
from tests.letters import ALL_NETWORKS, days, study_of
from tests.observations import Row
from tests.plain_judge import LINE, list_blocks, sessions_of, weigh

_TOLD = """
SELECT domain::VARCHAR, probe_asn, probe_asn, session,
  (day - DATE '1970-01-01')::INTEGER, class::VARCHAR, coalesce(kind::VARCHAR, '')
FROM told_sessions WHERE class <> 'none' AND is_heard ORDER BY domain, probe_asn, time, session
"""


def _random_rows(seed: int) -> list[Row]:
    """Some sites on three networks: blocked for a while here and there, and failing by chance."""
    random, rows = Random(seed), []
    for site in range(random.randint(4, 7)):
        for asn in ALL_NETWORKS:
            letters = random.choices("O.RTBDU", [12, 6, 1, 1, 1, 1, 1], k=random.randint(15, 50))
            if random.random() < 0.5:
                start = random.randrange(len(letters))
                failing = random.choice("RTBC")
                for day in range(start, min(start + random.randint(3, 25), len(letters))):
                    letters[day] = random.choice([failing, failing, failing, ".", "O"])
            rows += days("".join(letters), domain=f"site{site}.example", probe_asn=asn,
                         resolver_asn=asn, per_day=random.choice([1, 1, 2]))  # fmt: skip
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_the_fast_judge_agrees_with_the_plain_one(seed: int) -> None:
    study = study_of(_random_rows(seed), Period.parse("2024-01-01", "2024-04-01"))
    thresholds = Thresholds()
    method = Method.of(thresholds, RULES, study.fingerprints, study.networks())
    made = Maker(None, study.connection, method).make_sessions()
    evidence = weigh_sessions(study.connection, made, thresholds)
    with made.opened(study.connection) as opened:
        create_views(opened, SESSION_VIEWS)
        told = sessions_of(opened.execute(_TOLD).fetchall())
        names = read_type(opened, "host_name")
    plain, cells = weigh(told), defaultdict(list)
    for one in told:
        cells[one.domain, one.network].append(one)
    series = evidence.series
    pairs = list(zip(names[series.look_up("domain", series.first_rows())],
                     series.look_up("probe_asn", series.first_rows()), strict=True))  # fmt: skip
    of_kinds = [n for n in range(len(series.kind)) if series.kind[n] < FAILING]
    assert {(pairs[n], KINDS[series.kind[n]]) for n in of_kinds} == {
        (pair, kind) for pair, kinds in plain.items() for kind in kinds
    }
    for number in of_kinds:
        expected, _ = plain[pairs[number]][KINDS[series.kind[number]]]
        if number not in evidence.schedules and KINDS[series.kind[number]] != "mark":
            assert evidence.log_evidence[number] == pytest.approx(log(expected), abs=1e-6)
    stretches, elements = evidence.stretches, evidence.elements
    is_block = find_blocks(evidence, stretches, elements, log(LINE), thresholds)
    found = defaultdict(set)
    for row in stretches[is_block].itertuples():
        rows = series.row[[row.first, row.last]]
        first, last = (series.sessions["day"][rows].astype("datetime64[D]").astype(int)).tolist()
        found[pairs[row.series]].add((KINDS[row.kind], first, last, row.hits))
    assert any(found.values())  # or nothing is compared
    for pair, kinds in plain.items():
        blocks = list_blocks(kinds, cells[pair])
        assert found[pair] == {tuple(one) for one in blocks}, pair
