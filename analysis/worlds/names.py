"""The sites of the fictional country's test lists, and what is going on with each of them.

Every name lies under ``.example`` (RFC 2606) and is put together from syllables, so that no
living site or organisation is meant.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from analysis.hosts import normalise
from analysis.worlds.numbering import CONTENT_ASNS, AddressPlan, stream
from analysis.worlds.served_pages import Page, site_page

_ONSETS = ("m", "t", "v", "l", "r", "s", "k", "n", "p", "d", "b", "f", "z", "g")
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("", "", "", "n", "r", "l", "s")

#: What each kind of site is called after, by category.
_TAILS = {
    "NEWS": ("news", "daily", "times", "post", "herald", "wire"),
    "POLR": ("voices", "forum", "reform", "ballot"),
    "HUMR": ("rights", "watch", "justice"),
    "GMB": ("bet", "casino", "poker"),
    "PORN": ("adult", "cams"),
    "ANON": ("vpn", "proxy", "relay"),
    "GRP": ("social", "circle"),
    "COMT": ("chat", "mail"),
    "MMED": ("video", "photo"),
    "CULTR": ("music", "film", "books"),
    "GOVT": ("ministry", "council"),
    "COMM": ("shop", "market"),
    "ENV": ("forest", "river"),
    "LGBT": ("pride", "rainbow"),
    "REL": ("faith", "temple"),
    "HOST": ("blogs", "pages"),
    "SRCH": ("search", "index"),
    "MISC": ("ads", "pixel", "track", "banner"),
}

#: situation, how many sites, how many of them the country's own list names, their categories
_PLAN = (
    ("live", 44, 22, "NEWS POLR HUMR GMB PORN ANON GRP COMT MMED CULTR GOVT COMM ENV LGBT REL"),
    ("plain_http", 6, 3, "NEWS POLR CULTR"),
    ("shared_hosting", 6, 4, "NEWS HUMR HOST"),
    ("redirect", 5, 2, "NEWS COMM POLR"),
    ("cdn_same_asn", 5, 1, "MMED GRP NEWS"),
    ("cdn_other_asn", 5, 1, "MMED GRP SRCH"),
    ("cdn_http", 2, 0, "COMM MMED"),
    ("dead", 12, 7, "NEWS POLR HUMR GMB CULTR"),
    ("dies", 1, 1, "NEWS"),
    ("down", 2, 1, "ENV COMM"),
    ("outage", 2, 1, "GOVT CULTR"),
    ("unreachable", 1, 1, "GOVT"),
    ("geo_refused", 3, 0, "COMM GMB MMED"),
    ("geo_refused_http", 1, 0, "COMM"),
    ("geo_refused_tcp", 2, 0, "COMM GMB"),
    ("geo_refused_tls", 1, 0, "COMM"),
    ("captcha", 1, 0, "SRCH"),
    ("ad_like", 6, 0, "MISC"),
    ("varying_page", 3, 1, "NEWS COMM"),
    ("localised_title", 2, 0, "SRCH COMM"),
    ("late", 6, 4, "NEWS POLR HUMR"),
    ("shy", 2, 1, "GOVT COMM"),
)

#: Situations of sites that are tested without TLS.
_PLAIN = {"plain_http", "cdn_http", "geo_refused_http", "varying_page", "localised_title",
          "redirect"}  # fmt: skip


@dataclass(slots=True)
class Site:
    """One host name and the server behind it.

    ``down`` and ``dead`` are half-open ranges of days, counted from the period's first day.
    ``edges`` are a CDN's addresses by the AS of the client who asks. ``refuses`` is how the
    server itself turns away clients from the country: with a page, or at "tcp" or "tls".
    ``cut_off`` is a range of days on which no way leads from the country to the server.
    ``overload`` is the share of requests that it is too busy to answer.
    """

    host: str
    situation: str
    category: str
    is_local: bool
    inputs: list[str]
    page: Page
    has_tls: bool = True
    v4: list[str] = field(default_factory=list)
    v6: list[str] = field(default_factory=list)
    edges: dict[int, str] = field(default_factory=dict)
    redirect_to: str = ""
    authority: str = "first"
    down: tuple[int, int] | None = None
    dead: tuple[int, int] | None = None
    refusal: Page | None = None
    refuses: str = ""
    cut_off: tuple[int, int] | None = None
    overload: float = 0.0
    tested_from: int = 0
    is_alone: bool = True  # no other site on its addresses

    @property
    def is_https(self) -> bool:
        """Whether the test lists name it with https."""
        return self.inputs[0].lower().startswith("https:")

    def is_dead(self, day: int) -> bool:
        return self.dead is not None and self.dead[0] <= day < self.dead[1]

    def is_down(self, day: int) -> bool:
        return self.down is not None and self.down[0] <= day < self.down[1]

    def is_cut_off(self, day: int) -> bool:
        return self.cut_off is not None and self.cut_off[0] <= day < self.cut_off[1]


def make_word(rng: Random) -> str:
    """A pronounceable word that means nothing."""
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + (rng.choice(_CODAS) if last else "")
        for last in (False, False, True)
    )


#: Names that a world holds where no other number is wanted, the ones under www included.
NAME_COUNT = sum(count for _, count, _, _ in _PLAN) + 3


def _cast(name_count: int) -> list[tuple[str, int, int, str]]:
    """How many sites of each situation, at least one of each."""
    if name_count == NAME_COUNT:
        return list(_PLAN)
    factor = (name_count - 3) / (NAME_COUNT - 3)
    rows = [(kind, max(1, int(n * factor)), round(local * factor), words)
            for kind, n, local, words in _PLAN]  # fmt: skip
    rest = max(5, name_count - 3 - sum(row[1] for row in rows[1:]))
    return [(rows[0][0], rest, rest // 2, rows[0][3]), *rows[1:]]


def make_sites(seed: int, plan: AddressPlan, day_count: int, name_count: int) -> list[Site]:
    """All sites, in a fixed order; the last of ``live`` carry the odd ways to write a name."""
    rng = stream(seed, "names")
    used: set[str] = set()
    sites: list[Site] = []
    for situation, count, local_count, categories in _cast(name_count):
        choices = categories.split()
        for index in range(count):
            host = _new_host(rng, choices[index % len(choices)], used)
            sites.append(
                _make_site(rng, host, situation, choices[index % len(choices)], index < local_count)
            )
    _pair_with_www(rng, sites)
    _write_oddly(rng, sites)
    for site in sites:
        _apply_situation(rng, site, day_count)
    _give_addresses(rng, sites, plan)
    return sites


def _new_host(rng: Random, category: str, used: set[str]) -> str:
    while True:
        word = make_word(rng)
        if word not in used:
            used.add(word)
            break
    tail = rng.choice(_TAILS[category])
    shape = rng.random()
    if shape < 0.55:
        return f"{word}-{tail}.example"
    if shape < 0.8:
        return f"www.{word}{tail}.example"
    return f"{tail}.{word}.example"


def _make_site(rng: Random, host: str, situation: str, category: str, is_local: bool) -> Site:
    plain = situation in _PLAIN or (situation == "dead" and rng.random() < 0.6)
    return Site(
        host=host,
        situation=situation,
        category=category,
        is_local=is_local,
        inputs=[f"http{'' if plain else 's'}://{host}/"],
        page=site_page(rng, host),
        has_tls=not plain or situation in ("redirect", "localised_title", "geo_refused_http"),
        authority="second" if rng.random() < 0.25 else "first",
    )


def _pair_with_www(rng: Random, sites: list[Site]) -> None:
    """Three sites are tested under the bare name and under www as well."""
    pairs = [s for s in sites if s.situation == "live" and not s.host.startswith("www.")][:3]
    for site in pairs:
        twin = _make_site(rng, f"www.{site.host}", "live", site.category, site.is_local)
        twin.page = site.page
        twin.authority = site.authority
        sites.append(twin)


def _write_oddly(rng: Random, sites: list[Site]) -> None:
    """Upper case, a port, a trailing dot, and one internationalised name."""
    live = [site for site in sites if site.situation == "live"]
    odd = live[-4:]
    odd[0].inputs.append(f"https://{odd[0].host.title()}/")
    odd[1].inputs.append(f"https://{odd[1].host}:443/")
    odd[2].inputs.append(f"https://{odd[2].host}./")
    text = f"{make_word(rng)}ë-{make_word(rng)}ó.example"
    odd[3].host = normalise(f"https://{text}/")
    odd[3].inputs = [f"https://{text}/"]


def _apply_situation(rng: Random, site: Site, day_count: int) -> None:
    always = (-10_000, 10_000)
    if site.situation == "dead":
        site.dead = always
    elif site.situation == "dies":
        site.dead = (int(day_count * rng.uniform(0.4, 0.6)), 10_000)
    elif site.situation == "down":
        site.down = always
    elif site.situation == "outage":
        start = int(day_count * rng.uniform(0.2, 0.6))
        site.down = (start, start + max(2, int(day_count * rng.uniform(0.08, 0.15))))
    elif site.situation == "unreachable":
        # Long enough to be seen, and on all networks: a cable, not a censor.
        start = int(day_count * rng.uniform(0.2, 0.5))
        site.cut_off = (start, start + max(2, int(day_count * rng.uniform(0.15, 0.25))))
    elif site.situation in ("geo_refused_tcp", "geo_refused_tls"):
        site.refuses = site.situation.removeprefix("geo_refused_")
    elif site.situation == "late":
        site.tested_from = int(day_count * rng.uniform(0.51, 0.6))
    elif site.situation == "redirect":
        site.redirect_to = f"https://{site.host}/"


def _give_addresses(rng: Random, sites: list[Site], plan: AddressPlan) -> None:
    # The first content networks are kept for helpers, public resolvers and caches.
    hosts = list(CONTENT_ASNS[4:])
    shared_asn = rng.choice(hosts)
    shared = [plan.take(shared_asn), plan.take(shared_asn)]
    shared_count = 0
    full: list[str] = []  # addresses of live sites, which others move in with once none is left
    # Rare situations first: they need addresses of their own.
    for site in sorted(sites, key=lambda site: site.situation == "live"):
        roomy = [asn for asn in hosts if plan.free_count(asn) > 4]
        if site.situation == "live" and not roomy:
            site.v4 = [rng.choice(full)]
            continue
        asn = rng.choice(roomy or [asn for asn in hosts if plan.free_count(asn) > 1])
        if site.situation == "shared_hosting":
            site.v4 = [shared[shared_count % 2]]
            shared_count += 1
            continue
        site.v4 = [plan.take(asn) for _ in range(2 if site.situation.startswith("cdn") else 1)]
        if site.situation == "live":
            full.append(site.v4[0])
        if rng.random() < 0.2 and site.has_tls:
            site.v6 = [plan.take_v6(asn)]
    tenants = Counter(address for site in sites for address in site.v4)
    for site in sites:
        site.is_alone = all(tenants[address] == 1 for address in site.v4)
