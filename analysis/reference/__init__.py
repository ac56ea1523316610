"""Reference data: lists that ship with the workbook or are given by the user.

In: CSV and YAML files. Out: frozen values with lookups (a site's category, a network's kind).
A wrong line is refused with file and line number. No module here uses a network.
Start at ``reference_files``, which reads such files; each other module is for one kind of list.
Sources and licences: data/reference/README.md.
"""
