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
    """Fill in the ``caveat`` of each listed stretch, which is empty for most."""
    for pair in country.pairs:
        of_pair = [stretch for stretch in pair.stretches if stretch.is_listed]
        is_bystander = any(stretch.series.lent for stretch in of_pair)
        for stretch in of_pair:
            caveats = [
                BEFORE_FIRST_TEST if stretch.site_may_refuse else "",
                BYSTANDER if is_bystander else "",
            ]
            stretch.caveat = "; ".join(filter(None, caveats))
