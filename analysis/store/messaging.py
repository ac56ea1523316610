"""A study's messaging and circumvention tests: a country, a period, each measurement once."""

from collections import Counter, defaultdict

import pandas as pd

from analysis.errors import ContractError
from analysis.observations.messaging import MESSAGING
from analysis.observations.messaging_tests import BY_FOLDER, TESTS
from analysis.period import Period
from analysis.sources import layout
from analysis.store.collection import Collection
from analysis.store.database import connect
from analysis.store.provenance import REASONS
from analysis.store.study_file import add_every_row, explain_failures
from analysis.temporary_folders import TemporaryFolder

# These tests have no input, so that a measurement is its report, its test and its time. Without a
# report, the network tells two of one second apart.
_RANKED = """
CREATE OR REPLACE TEMP TABLE ranked AS
SELECT *, probe_cc = $cc AS is_of_country,
  measurement_start_time >= $since::TIMESTAMP AND measurement_start_time < $until::TIMESTAMP
    AS is_of_period,
  row_number() OVER (
    PARTITION BY report_id, test_name, measurement_start_time, probe_cc,
      if(report_id = '', probe_asn, 0)
    ORDER BY object_key, line_number) AS occurrence
FROM every_row
"""

_KEPT = """
CREATE OR REPLACE TEMP TABLE messaging AS
SELECT * EXCLUDE (is_of_country, is_of_period, occurrence) FROM ranked
WHERE is_of_country AND is_of_period AND occurrence = 1
ORDER BY measurement_start_time, object_key, line_number
"""

_COUNTS = """
SELECT test_name,
  CASE WHEN NOT is_of_country THEN 'other_country' WHEN NOT is_of_period THEN 'out_of_period'
    WHEN occurrence > 1 THEN 'duplicate' ELSE 'kept' END AS reason, count(*) AS line_count
FROM ranked GROUP BY ALL
"""


class MessagingRows:
    """What a study holds of these tests.

    ``connection`` has the table ``messaging``: the columns of ``MESSAGING`` and ``object_key``, one
    row a measurement; empty where the source has none.
    """

    def __init__(self, collection: Collection, probe_cc: str, period: Period) -> None:
        """Read them.

        Raises:
            SourceError: there is no room to work in.
            ContractError: a file of the store is damaged.
        """
        self.connection = connect()
        self._collection = collection
        self._lines: dict[str, Counter[str]] = defaultdict(Counter)
        if not collection.files:
            self.connection.from_arrow(MESSAGING.empty_table()).create("messaging")
            self.connection.execute("ALTER TABLE messaging ADD COLUMN object_key VARCHAR")
            return
        scope = {"cc": probe_cc, "since": period.since, "until": period.until}
        with TemporaryFolder("workbook-messaging-") as scratch, explain_failures():
            add_every_row(self.connection, collection, scratch)
            self.connection.execute(_RANKED, scope)
            self.connection.execute(_KEPT)
        for test, reason, count in self.connection.execute(_COUNTS).fetchall():
            self._lines[test][reason] += count
        self.connection.execute("DROP TABLE ranked")
        for file in collection.files:
            test = BY_FOLDER[layout.find_test(file.key) or ""]
            self._lines[test.name].update(file.ledger)

    def ledger(self) -> pd.DataFrame:
        """What became of every line of these tests' objects.

        Returns:
            One row a test and reason (``test_name, reason, line_count``): of each test that the
            source holds, those reasons of ``provenance.REASONS`` and ``invalid:<why>`` that occur,
            and ``total``.

        Raises:
            ContractError: the reasons do not add up to the lines.
        """
        rows: list[tuple[str, str, int]] = []
        for test in (test for test in TESTS if test.name in self._lines):
            counts = self._lines[test.name]
            details = {why: n for why, n in sorted(counts.items()) if why.startswith("invalid:")}
            counts = Counter({**counts, "invalid": sum(details.values())})
            told = {reason: counts[reason] for reason in REASONS if counts[reason]}
            told |= {**details, "total": sum(told.values())}
            rows += [(test.name, reason, count) for reason, count in told.items()]
        ledger = pd.DataFrame(rows, columns=["test_name", "reason", "line_count"])
        total = ledger.loc[ledger["reason"] == "total", "line_count"].sum()
        expected = sum(
            file.row_count + sum(file.ledger.values()) for file in self._collection.files
        )
        if total != expected:
            raise ContractError(f"the ledger of apps has {total} lines, the objects {expected}")
        return ledger

    def objects_not_read(self) -> pd.DataFrame:
        """One row an object that could not be read at all: ``key, why``, sorted by key."""
        rows = [(item.key, item.why) for item in self._collection.not_read]
        return pd.DataFrame(rows, columns=["key", "why"], dtype="str")
