"""The command line: ``python -m analysis`` and what make calls.

In: ``NAME=VALUE`` arguments. Out: an exit status, and files.
Only this package uses both the method and the simulator.
Start at ``cli``, which has a function for each command; ``settings`` checks the arguments.
Commands of more than a few lines are in modules of their own.
"""
