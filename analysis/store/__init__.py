"""Observations on disk: one Parquet file for each archive object.

In: the source. Out: observations with their ledger, and a DuckDB connection to those of one study.
Files appear whole or not at all, and each has a checksum of its own content. Start at
``ingestion.ingest``: it resumes where it stopped, and its result does not depend on the number of
workers. ``workers`` fetches and reads several objects at once, ``lines`` reads the stream of one in
limited memory, ``store.Store`` writes its file, ``database.Observations`` opens the observations of
a study, and ``withholding`` replaces withheld names in them. ``shares`` writes the observations of
a study for another team, and imports theirs.
"""
