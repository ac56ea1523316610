"""Fictional worlds whose truth is known, and how often the method is right about them.

In: a seed. Out: an archive with its truth beside it; tables of what the method found and missed.
The simulator (start at ``world``) imports none of the method, and nothing of the method imports
it; validation (start at ``validation_page`` and ``scores``) runs the method on such worlds.
"""
