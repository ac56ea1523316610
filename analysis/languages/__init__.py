"""The report's own sentences, in the language of whoever reads it.

In: a language's code, and whole English sentences with named places in them. Out: the sentence in
that language with its values in place, inert; where nobody translated it, in English and marked so.
Start at ``language``: ``open_language("km")``; it writes numbers, dates and periods too.
It reads ``km/LC_MESSAGES/messages.po``, which `make translations` keeps complete.

    lang.say("{count} of {total} sites", count=33, total=700)     plain text: titles, attributes
    lang.html("On {network} since {day}", network=…, day=…)       for a page; values are escaped
    lang.say_plural("{n} site", "{n} sites", n)                   and lang.html_plural
    lang.heading("Findings")                                      keeps the English id of a section

A template's text is ``{{ _("…", name=value) }}`` (``_n`` for plurals); in an attribute, where no
markup can stand, ``{{ say("…") }}`` (``say_plural``). Write whole sentences, never fragments, and
as literals, so that they are found; a word of the vocabulary is said by ``lang.say(state.words)``.
Give values as what they are (an int, a date, a ``Period``, a list); a share by ``lang.share(0.2)``.
"""
