"""From archive objects to the store: lines, objects, downloads, worker processes, a cluster.

In: what ``SOURCE`` names. Out: a ``store.collection.Collection``, and for each object what became
of its lines, counted by reason.
Resumes where it stopped; the result does not depend on the number of workers.
Start at ``ingestion.ingest``; ``objects`` turns one archive object into one Parquet file, ``lines``
reads its gzip stream in bounded memory.
"""
