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
from analysis.store.study_rows import IN_PERIOD, explain_failures, view_rows
from analysis.temporary_folders import TemporaryFolder

# These tests have no input, so that a measurement is its report, its test and its time. Without a
# report, the network tells two of one second apart.
_JUDGED = f"""
CREATE TEMP TABLE judged AS
SELECT * EXCLUDE (row_id), CASE
    WHEN probe_cc <> $cc THEN 'other_country'
    WHEN NOT {IN_PERIOD} THEN 'out_of_period'
    WHEN row_number() OVER (
      PARTITION BY report_id, test_name, measurement_start_time, probe_cc,
        if(report_id = '', probe_asn, 0)
      ORDER BY object_key, line_number) > 1 THEN 'duplicate'
    ELSE 'kept' END AS reason
FROM {{rows}}
"""

_KEPT = """
CREATE TABLE messaging AS
SELECT * EXCLUDE (reason) FROM judged WHERE reason = 'kept'
ORDER BY measurement_start_time, object_key, line_number
"""

_COUNTS = "SELECT test_name, reason, count(*) FROM judged GROUP BY ALL"


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
            rows = view_rows(self.connection, collection, scratch)
            self.connection.execute(_JUDGED.format(rows=rows), scope)
            self.connection.execute(_KEPT)
        for test, reason, count in self.connection.execute(_COUNTS).fetchall():
            self._rows[test][reason] += count
        self.connection.execute("DROP TABLE judged")

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
