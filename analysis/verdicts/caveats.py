"""Caveats of listed stretches, which are shown beside them."""

ONE_INPUT = {
    "http": "only http:// inputs failed, and https:// opens",
    "https": "only https:// inputs failed, and http:// opens",
}
BYSTANDER = (
    "failed at an address that other sites share and that this network cut off, so the site may be "
    "a bystander"
)
BEFORE_FIRST_TEST = "began before the first test; the site may refuse this network"
