"""What is known besides the measurements: lists that ship with the workbook or are handed in.

In: CSV and YAML files. Out: frozen values that can be asked (a site's category, a network's kind).
A wrong line is refused with file and line number; nothing here asks a network.
Start at ``reference_files``, which reads any of them; each other module is one kind of list.
Sources and licences: data/reference/README.md.
"""
