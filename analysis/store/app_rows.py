"""A study's messaging and circumvention tests: a country, a period, each measurement once."""

from collections import Counter, defaultdict

import pandas as pd

from analysis.observations.messaging import MESSAGING
from analysis.observations.messaging_tests import BY_FOLDER, TESTS
from analysis.period import Period
from analysis.sources import layout
from analysis.store.collection import Collection
from analysis.store.connections import connect
from analysis.store.provenance import add_up
from analysis.store.study_rows import add_every_row, explain_failures
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
CREATE OR REPLACE TABLE messaging AS
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
        self._rows: dict[str, Counter[str]] = defaultdict(Counter)
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
            self._rows[test][reason] += count
        self.connection.execute("DROP TABLE ranked")

    def ledger(self) -> pd.DataFrame:
        """What became of every line of these tests' objects.

        Returns:
            One row a test and reason (``test_name, reason, line_count``): of each test that the
            source holds, those reasons of ``provenance.REASONS`` and ``invalid:<why>`` that occur,
            and ``total``.

        Raises:
            ContractError: the reasons do not add up to the lines.
        """
        files = defaultdict(list)
        for file in self._collection.files:
            files[BY_FOLDER[layout.find_test(file.key) or ""].name].append(file)
        rows = [
            (test.name, reason, count)
            for test in TESTS
            if test.name in files
            for reason, count in add_up(files[test.name], self._rows[test.name]).items()
            if count or reason == "total"
        ]
        return pd.DataFrame(rows, columns=["test_name", "reason", "line_count"])
