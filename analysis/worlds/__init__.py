"""Fictional worlds with known truth, and the accuracy of the method on them.

In: a seed. Out: an archive with its truth; tables of what the method found and missed. The
simulator (start at ``world``) and the method do not import each other. Validation (start at
``validation_page`` and ``scores``) runs the method on such worlds.
"""
