"""From archive objects to observations on disk: one Parquet file for each archive object.

In: what ``SOURCE`` names. Out: observations with their ledger, and a DuckDB connection over those
of one study. Files appear whole or not at all, and each carries the checksum of its own content.
Start at ``ingestion.ingest``: it resumes where it stopped, and its result does not depend on the
number of workers. ``workers`` fetches and reads several objects at once, ``lines`` reads the stream
of one in bounded memory, ``store.Store`` writes its file, ``database.Observations`` opens those of
a study, and ``withholding`` changes the names in them that a meeting withheld. ``shares`` writes a
study for somebody else and copies theirs.
"""
