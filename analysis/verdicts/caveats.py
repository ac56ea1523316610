"""Caveats of listed stretches, which are shown beside them."""

from analysis.verdicts.pairs import Country

ONE_INPUT = {
    "http": "only http:// inputs failed, and https:// opens",
    "https": "only https:// inputs failed, and http:// opens",
}
BYSTANDER = (
    "failed at an address that other sites share and that this network cut off, so the site may be "
    "a bystander"
)
BEFORE_FIRST_TEST = "began before the first test; the site may refuse this network"


def add_caveats(country: Country) -> None:
    """Add to the ``caveat`` of listed stretches, which is empty for most, what addresses show."""
    for pair in country.pairs:
        of_pair = [stretch for stretch in pair.stretches if stretch.is_listed]
        if any(stretch.series.lent for stretch in of_pair):
            for stretch in of_pair:
                stretch.caveat = "; ".join(filter(None, (stretch.caveat, BYSTANDER)))
