"""The report's own sentences in the reader's language.

In: a language's code, and whole English sentences with named fields. Out: the sentence in that
language with its values filled in and escaped; without a translation, in English and marked so.
Start at ``language``: ``open_language("km")``; it formats numbers, dates and periods too.
It reads ``km/LC_MESSAGES/messages.po``, which `make translations` keeps complete.

    lang.say("{count} of {total} sites", count=33, total=700)     plain text: titles, attributes
    lang.html("On {network} since {day}", network=…, day=…)       for a page; values are escaped
    lang.say_plural("{n} site", "{n} sites", n)                   and lang.html_plural
    lang.heading("Findings")                                      keeps the English id of a section

A template's text is ``{{ _("…", name=value) }}`` (``_n`` for plurals); in an attribute, without
markup, it is ``{{ say("…") }}`` (``say_plural``). Write whole sentences, never fragments, and as
literals, so that `make translations` finds them; words of the vocabulary are translated by
``lang.say(state.words)``. Pass values with their types (an int, a date, a ``Period``, a list), and
a share as ``lang.share(0.2)``.
"""
