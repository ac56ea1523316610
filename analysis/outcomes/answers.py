"""Profiles of answered addresses over many names: sinkhole, substitution, content network."""

from analysis.sql import pick_queries, read_queries

_QUERIES = read_queries(__file__)
#: Steps over ``features`` that need only one measurement.
LONE_ANSWER_STEPS = pick_queries(_QUERIES, "suspects", "listed_answers")
#: Steps over ``features`` and ``typed_observations``, in order, that need many measurements.
ANSWER_STEPS = {name: query for name, query in _QUERIES.items() if name not in LONE_ANSWER_STEPS}
