"""What a reader finds of each site: its row in the annex, its page, its place in the index.

In: the published tables of a report, and the notes that its notebooks hand on. Out: the content of
pages, in the language that is asked for; ``publishing`` puts its frame around it.
Nothing is judged here, and no notebook runs: what one page says, a table says too.
Start at ``pages``, which makes them all. ``records`` gathers what is known of each site once,
``sentences`` says it, ``strips`` draws its days, ``annex`` is the list with a row a stretch.
"""
