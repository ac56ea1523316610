"""The command line: ``python -m analysis`` and what make calls.

In: ``NAME=VALUE`` arguments. Out: an exit status, and files.
The one place that knows both the method and the simulator.
Start at ``cli``, one function a command; ``settings`` checks the arguments.
What takes more than a call stands in a module of its own.
"""
