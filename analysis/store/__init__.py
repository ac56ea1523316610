"""Observations on disk: one Parquet file per archive object, and what was read of each source.

In: tables of observations with their ledger. Out: a DuckDB connection over those of one study.
Files appear whole or not at all, and each carries the checksum of its own content.
Start at ``store.Store`` for writing and ``database.Observations`` for reading.
``connections`` says what DuckDB may hold, ``shares`` writes a study for somebody else, ``imports``
copies what somebody else has.
"""
