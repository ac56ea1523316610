"""The method as data: which observation at which layer means what.

Starting point: OONI pipeline v5, RULES_VERSION 2 (ooni/data, ``oonipipeline/analysis``), whose
blocked/down/ok triples are turned here into one class and a determinacy. What differs from it is
said in each rule's comment and in docs/method.md.

A condition is a SQL expression over the columns that ``features.md`` describes; ``is_reset`` and
the like are ``macros``. Within a layer the first rule that matches wins; guards stand before the
rules they restrain. The layers are combined by ``outcomes``: the first of dns, tcp, tls, http that
explains the failure.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from analysis.vocabulary import MECHANISMS, SET_ASIDE_REASONS

#: Incremented with every change that can change a verdict; printed with each report.
RULES_VERSION = 22

Layer = Literal["dns", "tcp", "tls", "http"]
LAYERS: tuple[Layer, ...] = ("dns", "tcp", "tls", "http")

#: The condition of the last rule of each layer.
CATCH_ALL = "TRUE"


class RuleError(ValueError):
    """Error of a rule that cannot work, with its id and the problem."""

    def __init__(self, rule_id: str, problem: str) -> None:
        super().__init__(f"rule {rule_id}: {problem}")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of the method.

    Attributes:
        rule_id: stable name, ``layer.what``.
        condition: SQL over the columns of ``features.md``; NULL counts as no match.
        outcome: blocked, down, ok or unknown.
        comment: the reason for the rule, for the report's readers and for reviewers.
        mechanism: method of the block; blocked rules only.
        evidence: none (no data), discarded (data without meaning), scored.
        is_artefact: it is a trace of blocking, if only a network can have left it
            (``is_of_network``).
        is_about_target: the failing site is the one to which the input redirects.
        set_aside: the reason by which the rule explains an anomaly that is no block.

    Raises:
        RuleError: the layer, the mechanism or the reason is unknown, or they do not go together.
    """

    rule_id: str
    condition: str
    outcome: Literal["blocked", "down", "ok", "unknown"]
    comment: str
    mechanism: str = ""
    evidence: Literal["none", "discarded", "scored"] = "scored"
    is_artefact: bool = False
    is_about_target: bool = False
    set_aside: str = ""

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise RuleError(self.rule_id, problem)

    @property
    def layer(self) -> str:
        return self.rule_id.partition(".")[0]

    def _problem(self) -> str:
        """Return the problem of the rule, or an empty text."""
        is_block = self.outcome == "blocked"
        is_known_layer = self.layer in ("session", *LAYERS)
        is_known_mechanism = self.mechanism in ("", *MECHANISMS)
        is_known_reason = self.set_aside in ("", *SET_ASIDE_REASONS)
        describes_block = self.mechanism or self.is_artefact or self.is_about_target
        checks = [
            (
                is_known_layer,
                f"its id begins with no layer; there are session, {', '.join(LAYERS)}",
            ),
            (not is_block or self.mechanism, "a rule that blocks names its mechanism"),
            (
                is_known_mechanism,
                f"there is no mechanism {self.mechanism}; there are {', '.join(MECHANISMS)}",
            ),
            (
                is_known_reason,
                f"there is no reason {self.set_aside}; there are {', '.join(SET_ASIDE_REASONS)}",
            ),
            (
                is_block or not describes_block,
                "only a rule that blocks has a mechanism, an artefact or another target",
            ),
            (not (is_block and self.set_aside), "a block is not set aside"),
            (
                self.evidence == "scored" or self.outcome == "unknown",
                "without evidence the outcome is unknown",
            ),
        ]
        return next((problem for is_met, problem in checks if not is_met), "")


#: Rules that discard a measurement, whatever its layers show; they are read last.
SESSION_RULES: tuple[Rule, ...] = (
    Rule(
        rule_id="session.broken",
        condition="is_broken_session",
        outcome="unknown",
        evidence="discarded",
        set_aside="broken_session",
        comment="A broken session: most of the names that other networks reach at that time fail "
        "in it. A line that is down, a login page (captive portal), an antivirus that "
        "breaks every handshake; or, in many sessions at once, a cable of the network that is cut, "
        "or a control that is wrong.",
    ),
)

#: Rules for the lookup of the name.
DNS_RULES: tuple[Rule, ...] = (
    Rule(
        rule_id="dns.not_measured",
        condition="dns_failure IS NULL AND NOT dns_has_answer",
        outcome="unknown",
        evidence="none",
        comment="No lookup of the name, or none that left an answer or a failure.",
    ),
    Rule(
        rule_id="dns.leftover",
        condition="dns_special IS NOT NULL AND control_name = 'missing' AND coalesce(name_pool = "
        "'missing', TRUE) AND NOT is_special_substitution AND NOT dns_tls_valid",
        outcome="down",
        set_aside="leftover_block",
        comment="The name does not exist, but the resolver gives it an address that no public site "
        "can have, and does not do so for most names that do not exist: a block, or a "
        "filter at home, that was never removed. There is no site that could be blocked.",
    ),
    Rule(
        rule_id="dns.name_does_not_exist",
        condition="name_pool = 'missing'",
        outcome="down",
        set_aside="name_does_not_exist",
        comment="The name does not exist: the controls of the days around cannot resolve it. "
        "Whatever a resolver here answers, a site that does not exist cannot be blocked.",
    ),
    Rule(
        rule_id="dns.tls_valid",
        condition="dns_tls_valid",
        outcome="ok",
        comment="A valid certificate for the name on the answered address proves the answer.",
    ),
    Rule(
        rule_id="dns.control_missing",
        condition="control_name = 'missing' AND name_pool = 'exists'",
        outcome="unknown",
        evidence="discarded",
        set_aside="name_does_not_exist",
        comment="This session's control misses a name that the others resolve. One control "
        "alone is not enough for a conclusion.",
    ),
    Rule(
        rule_id="dns.missing_for_control_too",
        condition="control_name = 'missing'",
        outcome="down",
        set_aside="name_does_not_exist",
        comment="The control cannot resolve the name either.",
    ),
    Rule(
        rule_id="dns.fails_for_control_too",
        condition="is_name_broken AND dns_failure IS NOT NULL",
        outcome="down",
        set_aside="down",
        comment="The lookup fails, and so do the control's lookup and those of the controls of "
        "most sessions within two days: the name's own servers fail for everyone.",
    ),
    Rule(
        rule_id="dns.special_in_control",
        condition="dns_special IS NOT NULL AND control_special IS NOT NULL",
        outcome="down",
        set_aside="down",
        comment="The name really carries an address that no public site can have.",
    ),
    Rule(
        rule_id="dns.special_left_out",
        condition="dns_failure IS NOT NULL AND control_special IS NOT NULL",
        outcome="down",
        set_aside="down",
        comment="The name really carries an address that no public site can have, as the control "
        "says; a resolver that protects its users from such answers leaves it out.",
    ),
    Rule(
        rule_id="dns.special_of_zone",
        condition="is_of_zone",
        outcome="unknown",
        comment="A private address that the resolvers of three networks give for this site and for "
        "no other, or a resolver that leaves such answers out: what the name's own servers say to "
        "the country. A block has one address for many names.",
    ),
    Rule(
        rule_id="dns.no_control",
        condition="control_name = 'silent'",
        outcome="unknown",
        evidence="discarded",
        comment="Without a control's answer a lookup proves nothing, whatever it shows.",
    ),
    Rule(
        rule_id="dns.local_filter",
        condition="is_local_filter",
        outcome="unknown",
        set_aside="local_filter",
        comment="The answer of a well-known DNS filter that a user, a school or an office chooses.",
    ),
    Rule(
        rule_id="dns.loopback",
        condition="dns_special = 'loopback' AND NOT is_same_page AND NOT is_https_own",
        outcome="blocked",
        mechanism="dns.loopback",
        is_artefact=True,
        comment="An address that leads back to the user's own device (loopback), for a name that "
        "has a public one.",
    ),
    Rule(
        rule_id="dns.bogon",
        condition="dns_special IS NOT NULL AND NOT is_same_page AND NOT is_https_own",
        outcome="blocked",
        mechanism="dns.bogon",
        is_artefact=True,
        comment="An address that no public site can have, for a name that has a public one, and no "
        "other answer led to the site's page.",
    ),
    Rule(
        rule_id="dns.answer_in_control",
        condition="dns_match = 'address'",
        outcome="ok",
        comment="The control got the same address.",
    ),
    Rule(
        rule_id="dns.network_in_control",
        condition="dns_match = 'asn'",
        outcome="ok",
        comment="The control got another address in the same network; geo-DNS and content networks "
        "(CDNs) answer like this.",
    ),
    Rule(
        rule_id="dns.vouched",
        condition="dns_is_vouched",
        outcome="ok",
        comment="Not the control's address, but one on which other sessions got the site's own "
        "certificate or page.",
    ),
    Rule(
        rule_id="dns.verified_by_control",
        condition="dns_is_verified",
        outcome="ok",
        comment="Not the control's address, but one on which the control itself got the name's "
        "own certificate.",
    ),
    Rule(
        rule_id="dns.same_page",
        condition="is_same_page OR is_https_own",
        outcome="ok",
        comment="The address is not the control's, or a lookup failed once, but the probe still "
        "got the site's own page: a content network, or a temporary failure.",
    ),
    Rule(
        rule_id="dns.stale_address",
        condition="is_stale AND dns_match = 'none'",
        outcome="unknown",
        comment="An address that the controls of several sessions gave for this very name at "
        "another time: the resolver's answer is out of date, and no sinkhole.",
    ),
    Rule(
        rule_id="dns.substitution_persistent",
        condition="is_substitution AND is_persistent",
        outcome="blocked",
        mechanism="dns.sinkhole",
        comment="NXDOMAIN substitution: the resolver gives this address for names that do not "
        "exist, and for this live name nearly always, while it answers other live names well.",
    ),
    Rule(
        rule_id="dns.substitution",
        condition="is_substitution",
        outcome="unknown",
        set_aside="nxdomain_substitution",
        comment="NXDOMAIN substitution: an address that this resolver gives for names that do not "
        "exist. A live name on it may be an error of the resolver.",
    ),
    Rule(
        rule_id="dns.sinkhole",
        condition="is_sinkhole",
        outcome="blocked",
        mechanism="dns.sinkhole",
        is_artefact=True,
        comment="One address given for unrelated live names, never to a control, and no site is "
        "ever reached on it.",
    ),
    Rule(
        rule_id="dns.known_address",
        condition="dns_match = 'none' AND has_dns_fingerprint AND NOT is_same_page AND NOT "
        "is_substitution",
        outcome="blocked",
        mechanism="dns.sinkhole",
        is_artefact=True,
        comment="An address that OONI lists as this country's block answer, not given to the "
        "control, and the site's page does not come from it. The list alone never decides.",
    ),
    Rule(
        rule_id="dns.blockpage",
        condition="dns_match = 'none' AND is_blockpage",
        outcome="blocked",
        mechanism="dns.blockpage",
        is_artefact=True,
        comment="The answer is not the site's and a block page is served there.",
    ),
    Rule(
        rule_id="dns.lone_address",
        condition="is_lone AND NOT dns_is_at_home AND control_http_ok AND (dns_is_own_network OR "
        "is_shared_answer) AND (http_failure IS NOT NULL OR NOT coalesce(http_first_is_answer, "
        "TRUE) OR (dns_is_own_network AND http_status < 400))",
        outcome="blocked",
        mechanism="dns.other",
        comment="This resolver nearly always gives the name the same address, which lies in the "
        "resolver's own network or is given for another name as well; no control ever gets "
        "it or another in its network, nobody reached a site there, most other networks "
        "get the control's answer, and the control reaches the site. An address outside "
        "this network, for one name alone, may be an old one of the site. An error page at "
        "the given address decides nothing: it may come from a content network's cache "
        "inside the operator's network.",
    ),
    Rule(
        rule_id="dns.dead_end",
        condition="is_dead_end AND NOT is_public_answer",
        outcome="blocked",
        mechanism="dns.other",
        comment="The answer is neither the control's nor that of public resolvers and nothing "
        "there connects, while the same probe reaches the site at the control's address: only the "
        "resolver stands in the way.",
    ),
    Rule(
        rule_id="dns.at_home",
        condition="dns_is_at_home",
        outcome="ok",
        comment="Another address than the control's. The probe noted that it is in the same "
        "network as the control's (older controls name no network). Or, in sessions that "
        "got this address, most controls, two at least, got the name's own certificate "
        "from it.",
    ),
    Rule(
        rule_id="dns.certificate_of_another",
        condition="dns_match = 'none' AND dns_certificate_error AND control_http_ok AND NOT "
        "is_public_answer",
        outcome="blocked",
        mechanism="dns.other",
        comment="The answer is neither the control's nor that of public resolvers, and what "
        "answers there cannot show the name's certificate, while the control reaches the site.",
    ),
    Rule(
        rule_id="dns.unmatched",
        condition="dns_match = 'none'",
        outcome="unknown",
        comment="An address the control did not get. OONI's prime suspect for false positives: "
        "geo-DNS and CDNs look the same.",
    ),
    Rule(
        rule_id="dns.ipv6_only",
        condition="control_is_ipv6_only",
        outcome="unknown",
        evidence="discarded",
        comment="The name has IPv6 addresses only; a probe without IPv6 may be told that there is "
        "none.",
    ),
    Rule(
        rule_id="dns.local_fault",
        condition="is_local_fault(dns_failure)",
        outcome="unknown",
        evidence="discarded",
        comment="The lookup fails on the probe's own machine or link, or with an unknown error.",
    ),
    Rule(
        rule_id="dns.nxdomain",
        condition="dns_failure = 'dns_nxdomain_error'",
        outcome="blocked",
        mechanism="dns.nxdomain",
        comment="The resolver says that the name does not exist; the control resolves it.",
    ),
    Rule(
        rule_id="dns.timeout",
        # EAI_AGAIN is the system's error if its resolver did not answer in time
        condition="is_silence(dns_failure) OR dns_failure = 'dns_temporary_failure'",
        outcome="blocked",
        mechanism="dns.timeout",
        comment="The resolver does not answer for this name; the control resolves it.",
    ),
    Rule(
        rule_id="dns.refused",
        condition="is_denial(dns_failure)",
        outcome="blocked",
        mechanism="dns.other",
        comment="The resolver refuses to answer for this name, or says that it has no address; "
        "the control resolves it.",
    ),
    Rule(
        rule_id="dns.failure",
        condition="dns_failure IS NOT NULL",
        outcome="blocked",
        mechanism="dns.other",
        comment="The lookup fails in another way, most often by a failure of the server; the "
        "control resolves the name.",
    ),
    Rule(
        rule_id="dns.unreadable",
        condition="TRUE",
        outcome="unknown",
        evidence="discarded",
        comment="An answer without an address that can be compared.",
    ),
)

#: Rules for the connections to the site's addresses.
TCP_RULES: tuple[Rule, ...] = (
    Rule(
        rule_id="tcp.not_measured",
        condition="tcp_result IS NULL",
        outcome="unknown",
        evidence="none",
        comment="No connection was tried.",
    ),
    Rule(
        rule_id="tcp.ok",
        condition="tcp_result = 'works'",
        outcome="ok",
        comment="An address of the site accepts the connection.",
    ),
    Rule(
        rule_id="tcp.untrusted",
        condition="tcp_result = 'untrusted'",
        outcome="unknown",
        evidence="discarded",
        comment="Only addresses that the control does not know were tried; what happens there "
        "says nothing about the site.",
    ),
    Rule(
        rule_id="tcp.ipv6_broken",
        condition="tcp_result = 'no_ipv6'",
        outcome="unknown",
        evidence="discarded",
        comment="Only IPv6 was tried, in a session in which no IPv6 connection ever worked.",
    ),
    Rule(
        rule_id="tcp.refused",
        condition="is_refusal(tcp_failure)",
        outcome="blocked",
        mechanism="tcp.refused",
        comment="The site's address refuses; the control connects to it.",
    ),
    Rule(
        rule_id="tcp.reset",
        condition="is_reset(tcp_failure)",
        outcome="blocked",
        mechanism="tcp.reset",
        comment="The connection to the site's address is reset; the control connects to it.",
    ),
    Rule(
        rule_id="tcp.timeout",
        condition="tcp_result = 'blocked'",
        outcome="blocked",
        mechanism="tcp.timeout",
        comment="The connection to the site's address times out, or the address cannot be "
        "reached; the control connects to it.",
    ),
    Rule(
        rule_id="tcp.fails_for_control_too",
        condition="tcp_result = 'down'",
        outcome="down",
        set_aside="down",
        comment="The control cannot connect to the address either.",
    ),
    Rule(
        rule_id="tcp.local_fault",
        condition="tcp_result = 'local'",
        outcome="unknown",
        evidence="discarded",
        comment="The connection fails on the probe's own machine or link, or with an unknown "
        "error.",
    ),
    Rule(
        rule_id="tcp.no_control",
        condition="TRUE",
        outcome="unknown",
        evidence="discarded",
        comment="The connection fails, and the control did not try the address or its own lookup "
        "of the name broke.",
    ),
)

#: Rules for the handshakes with the site's addresses.
TLS_RULES: tuple[Rule, ...] = (
    Rule(
        rule_id="tls.not_measured",
        condition="tls_result IS NULL",
        outcome="unknown",
        evidence="none",
        comment="No handshake was tried.",
    ),
    Rule(
        rule_id="tls.ok",
        condition="tls_result = 'works'",
        outcome="ok",
        comment="A handshake with a valid certificate.",
    ),
    Rule(
        rule_id="tls.untrusted",
        condition="tls_result = 'untrusted'",
        outcome="unknown",
        evidence="discarded",
        comment="Only addresses that the control does not know were tried.",
    ),
    Rule(
        rule_id="tls.fails_for_control_too",
        condition="tls_result = 'down'",
        outcome="down",
        set_aside="down",
        comment="The control's handshake fails too, as with an expired certificate.",
    ),
    Rule(
        rule_id="tls.no_control",
        condition="tls_result = 'untold'",
        outcome="unknown",
        evidence="discarded",
        comment="The handshake fails and no control says what it should have been.",
    ),
    Rule(
        rule_id="tls.reset",
        condition="is_reset(tls_failure)",
        outcome="blocked",
        mechanism="tls.reset",
        comment="The connection is cut when the handshake names the site; the control completes "
        "it.",
    ),
    Rule(
        rule_id="tls.timeout",
        condition="is_silence(tls_failure)",
        outcome="blocked",
        mechanism="tls.timeout",
        comment="The handshake stalls; the control completes it.",
    ),
    Rule(
        rule_id="tls.mitm",
        condition="starts_with(tls_failure, 'ssl_')",
        outcome="blocked",
        mechanism="tls.mitm",
        comment="The site's own address shows a certificate that is not valid for the name; the "
        "control gets a valid one.",
    ),
    Rule(
        rule_id="tls.failure",
        condition="TRUE",
        outcome="unknown",
        comment="The handshake fails in a way that no rule knows.",
    ),
)

#: Rules for the page.
HTTP_RULES: tuple[Rule, ...] = (
    Rule(
        rule_id="http.not_measured",
        condition="http_failure IS NULL AND http_status IS NULL",
        outcome="unknown",
        evidence="none",
        comment="No page was asked for.",
    ),
    Rule(
        rule_id="http.of_filter",
        condition="is_local_filter AND NOT dns_tls_valid AND coalesce(http_first_is_answer, TRUE)",
        outcome="unknown",
        evidence="discarded",
        set_aside="local_filter",
        comment="A page at an address that a filter gave belongs to the filter, even if it says "
        "that the site is blocked.",
    ),
    Rule(
        rule_id="http.blockpage",
        condition="is_blockpage AND NOT coalesce(title_match, FALSE) "
        "AND (control_http_ok OR is_reached_by_others)",
        outcome="blocked",
        mechanism="http.blockpage",
        is_artefact=True,
        comment="A block page: one that is known from this country (a fingerprint), or one page "
        "served for unrelated names that are reached elsewhere. The control saw the site "
        "or, if there is no control, the controls of other sessions within two days did.",
    ),
    Rule(
        rule_id="http.sent_elsewhere",
        condition="is_sent_elsewhere AND NOT coalesce(title_match, FALSE) AND control_http_ok",
        outcome="blocked",
        mechanism="http.blockpage",
        comment="This network sends nearly every unencrypted request for the site on to another "
        "site, while other networks reach the site itself.",
    ),
    Rule(
        rule_id="http.replaced",
        condition="is_replaced AND NOT coalesce(title_match, FALSE) AND control_http_ok",
        outcome="blocked",
        mechanism="http.blockpage",
        comment="This network answers nearly every unencrypted request for the site by one page "
        "that is neither the control's nor an error, while other networks get the site "
        "itself.",
    ),
    Rule(
        rule_id="http.refused_by_site",
        condition="http_status IN (401, 403, 451) AND control_http_status < 400 "
        "AND (is_https_own OR is_address_trusted)",
        outcome="unknown",
        set_aside="geo_restricted",
        comment="The site's own address refuses, over a verified connection or at an address that "
        "the control knows, while the control is let in. A site may refuse a whole country.",
    ),
    Rule(
        rule_id="http.error_for_control_too",
        condition="http_status >= 500 AND control_http_fails",
        outcome="down",
        set_aside="down",
        comment="The site answers with an error of its own, and the control cannot get the page "
        "either.",
    ),
    Rule(
        rule_id="http.https",
        condition="is_https_page AND NOT is_sent_astray",
        outcome="ok",
        comment="A page over a verified connection to the site, or to where it redirects. Anybody "
        "can send an unencrypted request on to a site of his own, so a page after such a "
        "redirect does not count if its title and its body both differ from the control's.",
    ),
    Rule(
        rule_id="http.same_page",
        condition="is_same_page",
        outcome="ok",
        comment="The page is the one that the control saw.",
    ),
    Rule(
        rule_id="http.page_of_controls",
        condition="is_page_of_controls AND NOT control_http_ok AND NOT is_blockpage",
        outcome="ok",
        comment="This measurement's control has no page. By title and status, the page is the one "
        "that the controls of most other sessions got, so the site was reached.",
    ),
    Rule(
        rule_id="http.no_control",
        condition="NOT control_http_ok AND (NOT control_http_fails OR coalesce(control_name = "
        "'missing' AND name_pool = 'exists', FALSE) "
        "OR (http_failure IS NULL AND http_status < 400)) "
        "AND (http_failure IS NULL OR NOT is_reached_by_others)",
        outcome="unknown",
        evidence="discarded",
        comment="The measurement's own control does not say what the page should have been, failed "
        "where the probe got a page, or did not resolve a name that other controls resolve. "
        "Controls of other sessions within two days do not settle it either.",
    ),
    Rule(
        rule_id="http.fails_for_control_too",
        condition="control_http_fails",
        outcome="down",
        set_aside="down",
        comment="The control cannot get the page either.",
    ),
    Rule(
        rule_id="http.at_control_address",
        condition="NOT http_first_is_answer AND http_failure IS NULL",
        outcome="unknown",
        evidence="discarded",
        comment="The page came from an address that only the control knew. It says nothing about "
        "the user's own way to the site.",
    ),
    Rule(
        rule_id="http.diff",
        condition="http_failure IS NULL",
        outcome="unknown",
        comment="Another page than the control saw. That alone is no block: languages, captchas "
        "and refusals by the site look the same.",
    ),
    Rule(
        rule_id="http.redirect_target_tls",
        condition="fails_at_target AND fails_before_page AND is_reset(http_failure)",
        outcome="blocked",
        mechanism="tls.reset",
        is_about_target=True,
        comment="The site redirects to another site whose handshake is cut (if an old probe kept "
        "no handshake: whose https page is cut); the control gets there.",
    ),
    Rule(
        rule_id="http.redirect_target_reset",
        condition="fails_at_target AND is_reset(http_failure)",
        outcome="blocked",
        mechanism="http.reset",
        is_about_target=True,
        comment="The site redirects to another site, and that one is cut; the control gets there.",
    ),
    Rule(
        rule_id="http.redirect_target_refused",
        condition="fails_at_target AND is_refusal(http_failure)",
        outcome="blocked",
        mechanism="tcp.refused",
        is_about_target=True,
        comment="The site redirects to another site that refuses the connection; the control gets "
        "there.",
    ),
    Rule(
        rule_id="http.redirect_target_name",
        condition="fails_at_target AND starts_with(http_failure, 'dns_')",
        outcome="blocked",
        mechanism="dns.nxdomain",
        is_about_target=True,
        comment="The site redirects to another site whose name is not resolved; the control gets "
        "there.",
    ),
    Rule(
        rule_id="http.redirect_target_unconnected",
        condition="fails_at_target AND redirect_layer = 'tcp' AND is_silence(http_failure)",
        outcome="blocked",
        mechanism="tcp.timeout",
        is_about_target=True,
        comment="The site redirects to another site that does not answer; the control gets there.",
    ),
    Rule(
        rule_id="http.redirect_target_tls_timeout",
        condition="fails_at_target AND redirect_layer = 'tls' AND is_silence(http_failure)",
        outcome="blocked",
        mechanism="tls.timeout",
        is_about_target=True,
        comment="The site redirects to another site whose handshake stalls; the control gets "
        "there.",
    ),
    Rule(
        rule_id="http.redirect_target_timeout",
        condition="fails_at_target AND is_silence(http_failure)",
        outcome="blocked",
        mechanism="http.timeout",
        is_about_target=True,
        comment="The site redirects to another site that stalls; the control gets there.",
    ),
    Rule(
        rule_id="http.untrusted",
        condition="NOT is_address_trusted",
        outcome="unknown",
        comment="The page was asked for at an address the control does not know, and failed there.",
    ),
    Rule(
        rule_id="http.not_connected",
        condition="tcp_result <> 'works' OR (is_https AND tls_result = 'down')",
        outcome="unknown",
        evidence="discarded",
        comment="No address of the site accepted the connection or the handshake, and the control "
        "failed too; the rules on connections and handshakes decide.",
    ),
    Rule(
        rule_id="http.tls_reset",
        condition="fails_before_page AND is_reset(http_failure)",
        outcome="blocked",
        mechanism="tls.reset",
        comment="An https page is cut off in the handshake, or, if an old probe recorded no "
        "handshake, before any page.",
    ),
    Rule(
        rule_id="http.tls_timeout",
        condition="fails_before_page AND is_silence(http_failure)",
        outcome="blocked",
        mechanism="tls.timeout",
        comment="An https page stalls in the handshake, or, if an old probe recorded no handshake, "
        "before any page.",
    ),
    Rule(
        rule_id="http.tls_mitm",
        condition="fails_before_page AND NOT coalesce(fails_at_target, FALSE) AND "
        "starts_with(http_failure, 'ssl_')",
        outcome="blocked",
        mechanism="tls.mitm",
        comment="An https page fails on its certificate, and the control gets the page.",
    ),
    Rule(
        rule_id="http.reset",
        condition="is_reset(http_failure)",
        outcome="blocked",
        mechanism="http.reset",
        comment="The connection is cut when the page is asked for; the control gets the page.",
    ),
    Rule(
        rule_id="http.name_of_redirect",
        condition="fails_within_site AND starts_with(http_failure, 'dns_')",
        outcome="blocked",
        mechanism="dns.nxdomain",
        comment="The site redirects within itself to a name that is not resolved; the control "
        "gets there.",
    ),
    Rule(
        rule_id="http.refused_at_redirect",
        condition="fails_within_site AND is_refusal(http_failure)",
        outcome="blocked",
        mechanism="tcp.refused",
        comment="The site redirects within itself to an address that refuses; the control gets "
        "there.",
    ),
    Rule(
        rule_id="http.timeout_at_redirect",
        condition="redirect_layer = 'tcp' AND is_silence(http_failure)",
        outcome="blocked",
        mechanism="tcp.timeout",
        comment="The site redirects within itself to an address that does not answer; the control "
        "gets there.",
    ),
    Rule(
        rule_id="http.timeout",
        condition="is_silence(http_failure)",
        outcome="blocked",
        mechanism="http.timeout",
        comment="The page stalls (throttling looks like this too); the control gets it.",
    ),
    Rule(
        rule_id="http.failure",
        condition="TRUE",
        outcome="unknown",
        comment="The page fails in a way that no rule knows.",
    ),
)


def check_rules(rules: Iterable[Rule]) -> None:
    """Refuse rules that do not work together.

    Raises:
        RuleError: two rules have the same id, or the last rule of a layer is not the one for all
            other measurements, so that some would have no rule.
    """
    listed = tuple(rules)
    for rule_id, count in Counter(rule.rule_id for rule in listed).items():
        if count > 1:
            raise RuleError(rule_id, f"{count} rules have this id")
    for layer in LAYERS:
        of_layer = rules_of(layer, listed)
        if not of_layer or of_layer[-1].condition != CATCH_ALL:
            last = of_layer[-1].rule_id if of_layer else f"{layer}.…"
            raise RuleError(last, f"the last rule of {layer} has the condition {CATCH_ALL}")
        for rule in of_layer[:-1]:
            if rule.condition == CATCH_ALL:
                raise RuleError(rule.rule_id, "the rules after it can never match")


def rules_of(layer: str, rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the layer's rules in order."""
    return tuple(rule for rule in rules if rule.layer == layer)


#: All rules, in the order in which layers explain a failure.
RULES: tuple[Rule, ...] = (*SESSION_RULES, *DNS_RULES, *TCP_RULES, *TLS_RULES, *HTTP_RULES)
check_rules(RULES)

RULES_BY_ID = {rule.rule_id: rule for rule in RULES}


def rule_table(rules: Iterable[Rule] = RULES) -> pd.DataFrame:
    """Return one row per rule, in order, with its id, outcome, condition and comment."""
    columns = ["layer", "rule_id", "outcome", "mechanism", "is_artefact", "condition", "comment"]
    rows = [[getattr(rule, column) for column in columns] for rule in rules]
    return pd.DataFrame(rows, columns=columns)
