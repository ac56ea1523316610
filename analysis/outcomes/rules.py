"""The method as data: which observation at which layer means what.

Starting point: OONI pipeline v5, RULES_VERSION 2 (ooni/data, ``oonipipeline/analysis``), whose
blocked/down/ok triples are turned here into one class and a determinacy. What differs from it is
said in each rule's comment and in docs/decisions/.

A condition is a SQL expression over the columns that ``features.FEATURES`` computes. Within a
layer the first rule that matches wins; guards stand before the rules they restrain. The layers
are combined by ``outcomes``: the first of dns, tcp, tls, http that explains the failure.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

#: Counts up with every change that can move a verdict; printed with each report.
RULES_VERSION = 7

Layer = Literal["dns", "tcp", "tls", "http"]
LAYERS: tuple[Layer, ...] = ("dns", "tcp", "tls", "http")


@dataclass(frozen=True)
class Rule:
    """One line of the method.

    Attributes:
        rule_id: stable name, ``layer.what``.
        condition: SQL over the columns of ``features``; NULL counts as no match.
        outcome: blocked, down, ok or unknown.
        comment: why, for the report's readers and for reviewers.
        mechanism: how the block is done; blocked rules only.
        evidence: none (no data), discarded (data that say nothing), scored.
        is_artefact: the observation carries something only a block leaves behind.
        is_about_target: what fails is the site that the input redirects to, not the input's own.
        set_aside: the reason that the rule gives for an anomaly that is no block.
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

    @property
    def layer(self) -> str:
        return self.rule_id.partition(".")[0]


# Failures in OONI's words (ooni/spec df-007); the second line of each is ooniprobe 2's.
_RESET = (
    "('connection_reset', 'eof_error', 'connection_aborted', "
    "'connection_lost_error', 'connection_done', 'response_never_received')"
)
_TIMEOUT = (
    "('generic_timeout_error', 'timed_out', "
    "'tcp_timed_out_error', 'deferred_timeout_error', 'task_timed_out')"
)
# A resolver's own word. ``dns_non_recoverable_failure`` is how the C library tells of a refusal; of
# a failure of the server it says that one may try again.
_DENIED = "('dns_no_answer', 'dns_refused_error', 'dns_non_recoverable_failure')"
_REFUSED = "('connection_refused', 'host_unreachable', 'connection_refused_error')"

# What the system says of the probe's own machine or link: no route, no socket, no permission.
_LOCAL_FAULTS = (
    "('address_family_not_supported', 'address_in_use', 'address_not_available', 'bad_address', "
    "'bad_file_descriptor', 'destination_address_required', 'interrupted', 'invalid_argument', "
    "'message_size', 'network_down', 'network_reset', 'network_unreachable', 'no_buffer_space', "
    "'no_protocol_option', 'not_a_socket', 'operation_would_block', 'permission_denied', "
    "'protocol_not_supported', 'wrong_protocol_type', 'address_family_not_supported_error')"
)


def is_local_fault(failure: str) -> str:
    """SQL: whether the failure in that column says nothing of the network or the site.

    Either the probe's own machine failed, or the system said so in words that nobody maps, too many
    open files and the messages of a localised Windows among them. A bare ``unknown_failure`` is
    what old probes say of a connection that just did not come about; it is none of these.
    """
    return f"({failure} IN {_LOCAL_FAULTS} OR starts_with({failure}, 'unknown_failure:'))"


RULES: tuple[Rule, ...] = (
    # --- session: what discards a measurement whatever its layers show -------------------------
    Rule(
        "session.broken",
        "is_broken_session",
        "unknown",
        "G12: most names that are normally reached fail in this session: a dead link, a captive "
        "portal, a spent data plan.",
        evidence="discarded",
        set_aside="broken_session",
    ),
    Rule(
        "session.instrument",
        "is_defective_version",
        "unknown",
        "G7: the failure follows the probe's version, not the network: others reach the same "
        "sites on the same networks in the same quarter.",
        evidence="discarded",
        set_aside="instrument",
    ),
    # --- dns ---------------------------------------------------------------------------------
    Rule(
        "dns.not_measured",
        "dns_failure IS NULL AND NOT dns_has_answer",
        "unknown",
        "No lookup of the name, or none that left an answer or a failure.",
        evidence="none",
    ),
    Rule(
        "dns.name_does_not_exist",
        "name_pool = 'missing'",
        "down",
        "G1: the controls of the days around cannot resolve the name. Whatever a resolver here "
        "answers, the site is not there to be blocked.",
        set_aside="name_does_not_exist",
    ),
    Rule(
        "dns.tls_valid",
        "dns_tls_valid",
        "ok",
        "A valid certificate for the name on the answered address proves the answer.",
    ),
    Rule(
        "dns.control_missing",
        "control_name = 'missing' AND name_pool = 'exists'",
        "unknown",
        "This session's control misses a name that the others resolve. One control neither "
        "accuses nor acquits.",
        evidence="discarded",
        set_aside="name_does_not_exist",
    ),
    Rule(
        "dns.missing_for_control_too",
        "control_name = 'missing'",
        "down",
        "The control cannot resolve the name either.",
        set_aside="name_does_not_exist",
    ),
    Rule(
        "dns.special_in_control",
        "dns_special IS NOT NULL AND control_special IS NOT NULL",
        "down",
        "The name really carries an address that no public site can have.",
        set_aside="down",
    ),
    Rule(
        "dns.no_control",
        "control_name = 'silent'",
        "unknown",
        "Without a control's answer a lookup proves nothing, whatever it shows.",
        evidence="discarded",
    ),
    Rule(
        "dns.local_filter",
        "is_local_filter",
        "unknown",
        "G3: the answer of a DNS filter that users choose, or a private address that only some "
        "of the network's sessions get from this resolver.",
        set_aside="local_filter",
    ),
    Rule(
        "dns.loopback",
        "dns_special = 'loopback' AND NOT is_same_page AND NOT is_https_own",
        "blocked",
        "127.0.0.0/8 for a name that has a public address. Old probes call this fine.",
        mechanism="dns.loopback",
        is_artefact=True,
    ),
    Rule(
        "dns.bogon",
        "dns_special IS NOT NULL AND NOT is_same_page AND NOT is_https_own",
        "blocked",
        "An address that no public site can have, for a name that has a public one, and the "
        "site's page does not come by another of the answers.",
        mechanism="dns.bogon",
        is_artefact=True,
    ),
    Rule(
        "dns.answer_in_control",
        "dns_match = 'address'",
        "ok",
        "The control got the same address.",
    ),
    Rule(
        "dns.network_in_control",
        "dns_match = 'asn'",
        "ok",
        "The control got an address in the same network, as geo-DNS and CDNs do.",
    ),
    Rule(
        "dns.vouched",
        "dns_is_vouched",
        "ok",
        "Not the control's address, but one on which other sessions got the site's own "
        "certificate or page.",
    ),
    Rule(
        "dns.verified_by_control",
        "dns_is_verified",
        "ok",
        "Not the control's address, but one on which the control itself got the name's own "
        "certificate.",
    ),
    Rule(
        "dns.same_page",
        "is_same_page OR is_https_own",
        "ok",
        "Another address than the control's, or a lookup that fails once, and the site's own page "
        "comes the same way: a CDN, or a lapse.",
    ),
    Rule(
        "dns.substitution_persistent",
        "is_substitution AND is_persistent",
        "blocked",
        "G2: the resolver gives this address for names that do not exist, and for this live "
        "name nearly always, while it answers other live names well.",
        mechanism="dns.sinkhole",
    ),
    Rule(
        "dns.substitution",
        "is_substitution",
        "unknown",
        "G2: an address that this resolver gives for names that do not exist. A live name on "
        "it may be a lapse of the resolver.",
        set_aside="nxdomain_substitution",
    ),
    Rule(
        "dns.sinkhole",
        "is_sinkhole",
        "blocked",
        "One address given for unrelated live names, never to a control, and no site is ever "
        "reached on it.",
        mechanism="dns.sinkhole",
        is_artefact=True,
    ),
    Rule(
        "dns.known_address",
        "dns_match = 'none' AND has_dns_fingerprint AND NOT is_same_page AND NOT is_substitution",
        "blocked",
        "An address that OONI lists as this country's block answer, not given to the control, "
        "and the site's page does not come from it. The list alone never decides.",
        mechanism="dns.sinkhole",
        is_artefact=True,
    ),
    Rule(
        "dns.blockpage",
        "dns_match = 'none' AND is_blockpage",
        "blocked",
        "The answer is not the site's and a block page is served there.",
        mechanism="dns.blockpage",
        is_artefact=True,
    ),
    Rule(
        "dns.lone_address",
        "is_lone AND (http_failure IS NOT NULL OR NOT coalesce(http_first_is_answer, TRUE) "
        "OR dns_is_own_network)",
        "blocked",
        "This resolver gives the name one address nearly always; no control ever gets it, nobody "
        "reached a site there, and most other networks get the control's answer.",
        mechanism="dns.other",
    ),
    Rule(
        "dns.certificate_of_another",
        "dns_match = 'none' AND dns_certificate_error AND control_http_ok AND NOT is_public_answer",
        "blocked",
        "The answer is neither the control's nor that of public resolvers, and what answers there "
        "cannot show the name's certificate, while the control reaches the site.",
        mechanism="dns.other",
    ),
    Rule(
        "dns.dead_end",
        "is_dead_end AND NOT is_public_answer",
        "blocked",
        "The answer is neither the control's nor that of public resolvers and nothing there "
        "connects, while the same probe reaches the site at the control's address: only the "
        "resolver stands in the way.",
        mechanism="dns.other",
    ),
    Rule(
        "dns.unmatched",
        "dns_match = 'none'",
        "unknown",
        "An address the control did not get. OONI's prime suspect for false positives: geo-DNS "
        "and CDNs look the same.",
    ),
    Rule(
        "dns.ipv6_only",
        "control_is_ipv6_only",
        "unknown",
        "The name has IPv6 addresses only; a probe without IPv6 may be told that there is none.",
        evidence="discarded",
    ),
    Rule(
        "dns.local_fault",
        is_local_fault("dns_failure"),
        "unknown",
        "The lookup fails on the probe's own machine or link, or in words that nobody knows.",
        evidence="discarded",
    ),
    Rule(
        "dns.nxdomain",
        "dns_failure = 'dns_nxdomain_error'",
        "blocked",
        "The resolver says that the name does not exist; the control resolves it.",
        mechanism="dns.nxdomain",
    ),
    Rule(
        "dns.timeout",
        # EAI_AGAIN is what the system says where its resolver did not answer in time
        f"dns_failure IN {_TIMEOUT} OR dns_failure = 'dns_temporary_failure'",
        "blocked",
        "The resolver does not answer for this name; the control resolves it.",
        mechanism="dns.timeout",
    ),
    Rule(
        "dns.refused",
        f"dns_failure IN {_DENIED}",
        "blocked",
        "The resolver refuses to answer for this name, or says that it has no address; the control "
        "resolves it.",
        mechanism="dns.other",
    ),
    Rule(
        "dns.failure",
        "dns_failure IS NOT NULL",
        "blocked",
        "The lookup fails in another way, most often by a failure of the server; the control "
        "resolves the name.",
        mechanism="dns.other",
    ),
    Rule(
        "dns.unreadable",
        "TRUE",
        "unknown",
        "An answer without an address that can be compared.",
        evidence="discarded",
    ),
    # --- tcp ---------------------------------------------------------------------------------
    Rule(
        "tcp.not_measured",
        "tcp_result IS NULL",
        "unknown",
        "No connection was tried.",
        evidence="none",
    ),
    Rule("tcp.ok", "tcp_result = 'works'", "ok", "An address of the site accepts the connection."),
    Rule(
        "tcp.untrusted",
        "tcp_result = 'untrusted'",
        "unknown",
        "Only addresses that the control does not know were tried; what happens there says "
        "nothing about the site.",
        evidence="discarded",
    ),
    Rule(
        "tcp.ipv6_broken",
        "tcp_result = 'no_ipv6'",
        "unknown",
        "Only IPv6 was tried, in a session in which no IPv6 connection ever worked.",
        evidence="discarded",
    ),
    Rule(
        "tcp.refused",
        f"tcp_failure IN {_REFUSED}",
        "blocked",
        "The site's address refuses or its host is unreachable; the control connects to it.",
        mechanism="tcp.refused",
    ),
    Rule(
        "tcp.reset",
        f"tcp_failure IN {_RESET}",
        "blocked",
        "The connection to the site's address is reset; the control connects to it.",
        mechanism="tcp.reset",
    ),
    Rule(
        "tcp.timeout",
        "tcp_result = 'blocked'",
        "blocked",
        "The connection to the site's address does not come about; the control connects to it.",
        mechanism="tcp.timeout",
    ),
    Rule(
        "tcp.fails_for_control_too",
        "tcp_result = 'down'",
        "down",
        "The control cannot connect to the address either.",
        set_aside="down",
    ),
    Rule(
        "tcp.local_fault",
        "tcp_result = 'local'",
        "unknown",
        "The connection fails on the probe's own machine or link, or in words that nobody knows.",
        evidence="discarded",
    ),
    Rule(
        "tcp.no_control",
        "TRUE",
        "unknown",
        "The connection fails, and the control did not try the address or had lost its own way.",
        evidence="discarded",
    ),
    # --- tls ---------------------------------------------------------------------------------
    Rule(
        "tls.not_measured",
        "tls_result IS NULL",
        "unknown",
        "No handshake was tried.",
        evidence="none",
    ),
    Rule("tls.ok", "tls_result = 'works'", "ok", "A handshake with a valid certificate."),
    Rule(
        "tls.untrusted",
        "tls_result = 'untrusted'",
        "unknown",
        "Only addresses that the control does not know were tried.",
        evidence="discarded",
    ),
    Rule(
        "tls.fails_for_control_too",
        "tls_result = 'down'",
        "down",
        "The control's handshake fails too, as with an expired certificate.",
        set_aside="down",
    ),
    Rule(
        "tls.no_control",
        "tls_result = 'untold'",
        "unknown",
        "The handshake fails and no control says what it should have been.",
        evidence="discarded",
    ),
    Rule(
        "tls.reset",
        f"tls_failure IN {_RESET}",
        "blocked",
        "The connection is cut when the handshake names the site; the control completes it.",
        mechanism="tls.reset",
    ),
    Rule(
        "tls.timeout",
        f"tls_failure IN {_TIMEOUT}",
        "blocked",
        "The handshake stalls; the control completes it.",
        mechanism="tls.timeout",
    ),
    Rule(
        "tls.mitm",
        "starts_with(tls_failure, 'ssl_')",
        "blocked",
        "The site's own address shows a certificate that is not valid for the name; the control "
        "gets a valid one.",
        mechanism="tls.mitm",
    ),
    Rule(
        "tls.failure",
        "TRUE",
        "unknown",
        "The handshake fails in a way that no rule knows.",
    ),
    # --- http --------------------------------------------------------------------------------
    Rule(
        "http.not_measured",
        "http_failure IS NULL AND http_status IS NULL",
        "unknown",
        "No page was asked for.",
        evidence="none",
    ),
    Rule(
        "http.blockpage",
        "is_blockpage AND NOT coalesce(title_match, FALSE) AND control_http_ok",
        "blocked",
        "A block page: a fingerprint of this country, or one page served for unrelated names "
        "that are reached elsewhere, where the control saw the site.",
        mechanism="http.blockpage",
        is_artefact=True,
    ),
    Rule(
        "http.sent_elsewhere",
        "is_sent_elsewhere AND NOT coalesce(title_match, FALSE) AND control_http_ok",
        "blocked",
        "This network sends nearly every plain request for the site on to another site, where "
        "other networks reach the site itself.",
        mechanism="http.blockpage",
    ),
    Rule(
        "http.replaced",
        "is_replaced AND NOT coalesce(title_match, FALSE) AND control_http_ok",
        "blocked",
        "This network answers nearly every plain request for the site by one page that is neither "
        "the control's nor an error, where other networks get the site itself.",
        mechanism="http.blockpage",
    ),
    Rule(
        "http.refused_by_site",
        "http_status IN (401, 403, 451) AND control_http_status < 400 "
        "AND (is_https_own OR is_address_trusted)",
        "unknown",
        "G8: the site's own address refuses, over a verified connection or at an address that "
        "the control knows, while the control is let in. A site may refuse a whole country.",
        set_aside="geo_restricted",
    ),
    Rule(
        "http.error_for_control_too",
        "http_status >= 500 AND control_http_fails",
        "down",
        "The site answers with an error of its own, and the control cannot get the page either.",
        set_aside="down",
    ),
    Rule(
        "http.https",
        "is_https_page AND NOT is_sent_astray",
        "ok",
        "A page over a verified connection to the site, or to where it redirects. Anybody can send "
        "a plain request on to a site of his own: such a page must not be another than the "
        "control's by title and body.",
    ),
    Rule("http.same_page", "is_same_page", "ok", "The page is the one that the control saw."),
    Rule(
        "http.no_control",
        "NOT control_http_ok AND (NOT control_http_fails "
        "OR coalesce(control_name = 'missing' AND name_pool = 'exists', FALSE))",
        "unknown",
        "No control says what the page should have been, or it misses a name that the others "
        "resolve.",
        evidence="discarded",
    ),
    Rule(
        "http.fails_for_control_too",
        "control_http_fails",
        "down",
        "The control cannot get the page either.",
        set_aside="down",
    ),
    Rule(
        "http.at_control_address",
        "NOT http_first_is_answer AND http_failure IS NULL",
        "unknown",
        "The page came from an address that only the control knew. It says nothing about the "
        "user's own way to the site.",
        evidence="discarded",
    ),
    Rule(
        "http.diff",
        "http_failure IS NULL",
        "unknown",
        "Another page than the control saw. That alone is no block: languages, captchas and "
        "refusals by the site look the same.",
    ),
    Rule(
        "http.redirect_target_tls",
        f"fails_at_target AND fails_before_page AND http_failure IN {_RESET}",
        "blocked",
        "The site redirects to another site whose handshake is cut, or its https page where an old "
        "probe kept no handshake; the control gets there. The verdict belongs to the other site.",
        mechanism="tls.reset",
        is_about_target=True,
    ),
    Rule(
        "http.redirect_target_reset",
        f"fails_at_target AND http_failure IN {_RESET}",
        "blocked",
        "The site redirects to another site, and that one is cut; the control gets there. The "
        "verdict belongs to the other site.",
        mechanism="http.reset",
        is_about_target=True,
    ),
    Rule(
        "http.redirect_target_refused",
        f"fails_at_target AND http_failure IN {_REFUSED}",
        "blocked",
        "The site redirects to another site that refuses the connection; the control gets there.",
        mechanism="tcp.refused",
        is_about_target=True,
    ),
    Rule(
        "http.redirect_target_name",
        "fails_at_target AND starts_with(http_failure, 'dns_')",
        "blocked",
        "The site redirects to another site whose name is not resolved; the control gets there.",
        mechanism="dns.nxdomain",
        is_about_target=True,
    ),
    Rule(
        "http.redirect_target_unconnected",
        f"fails_at_target AND redirect_layer = 'tcp' AND http_failure IN {_TIMEOUT}",
        "blocked",
        "The site redirects to another site that does not answer; the control gets there.",
        mechanism="tcp.timeout",
        is_about_target=True,
    ),
    Rule(
        "http.redirect_target_tls_timeout",
        f"fails_at_target AND redirect_layer = 'tls' AND http_failure IN {_TIMEOUT}",
        "blocked",
        "The site redirects to another site whose handshake stalls; the control gets there.",
        mechanism="tls.timeout",
        is_about_target=True,
    ),
    Rule(
        "http.redirect_target_timeout",
        f"fails_at_target AND http_failure IN {_TIMEOUT}",
        "blocked",
        "The site redirects to another site that stalls; the control gets there.",
        mechanism="http.timeout",
        is_about_target=True,
    ),
    Rule(
        "http.untrusted",
        "NOT is_address_trusted",
        "unknown",
        "The page was asked for at an address the control does not know, and failed there.",
    ),
    Rule(
        "http.not_connected",
        "tcp_result <> 'works'",
        "unknown",
        "No address of the site accepted the connection; what that means, the rules on "
        "connections say.",
        evidence="discarded",
    ),
    Rule(
        "http.tls_reset",
        f"fails_before_page AND http_failure IN {_RESET}",
        "blocked",
        "An https page is cut off and the probe kept no handshake: old probes, whose connection "
        "ends where the handshake names the site.",
        mechanism="tls.reset",
    ),
    Rule(
        "http.tls_timeout",
        f"fails_before_page AND http_failure IN {_TIMEOUT}",
        "blocked",
        "An https page stalls and the probe kept no handshake.",
        mechanism="tls.timeout",
    ),
    Rule(
        "http.tls_mitm",
        "fails_before_page AND NOT coalesce(fails_at_target, FALSE) "
        "AND starts_with(http_failure, 'ssl_')",
        "blocked",
        "An https page fails on its certificate, the probe kept no handshake, and the control "
        "gets the page.",
        mechanism="tls.mitm",
    ),
    Rule(
        "http.reset",
        f"http_failure IN {_RESET}",
        "blocked",
        "The connection is cut when the page is asked for; the control gets the page.",
        mechanism="http.reset",
    ),
    Rule(
        "http.name_of_redirect",
        "fails_within_site AND starts_with(http_failure, 'dns_')",
        "blocked",
        "The site redirects within itself to a name that is not resolved; the control gets there.",
        mechanism="dns.nxdomain",
    ),
    Rule(
        "http.refused_at_redirect",
        f"fails_within_site AND http_failure IN {_REFUSED}",
        "blocked",
        "The site redirects within itself to an address that refuses; the control gets there.",
        mechanism="tcp.refused",
    ),
    Rule(
        "http.timeout_at_redirect",
        f"redirect_layer = 'tcp' AND http_failure IN {_TIMEOUT}",
        "blocked",
        "The site redirects within itself to an address that does not answer; the control gets "
        "there.",
        mechanism="tcp.timeout",
    ),
    Rule(
        "http.timeout",
        f"http_failure IN {_TIMEOUT}",
        "blocked",
        "The page stalls (throttling looks like this too); the control gets it.",
        mechanism="http.timeout",
    ),
    Rule(
        "http.failure",
        "TRUE",
        "unknown",
        "The page fails in a way that no rule knows.",
    ),
)


def rules_of(layer: str, rules: tuple[Rule, ...] = RULES) -> tuple[Rule, ...]:
    """The layer's rules in order."""
    return tuple(rule for rule in rules if rule.layer == layer)


RULES_BY_ID = {rule.rule_id: rule for rule in RULES}


def rule_table(rules: tuple[Rule, ...] = RULES) -> pd.DataFrame:
    """One row per rule, in order: what it is called, what it decides, and why."""
    return pd.DataFrame(
        {
            "layer": [rule.layer for rule in rules],
            "rule_id": [rule.rule_id for rule in rules],
            "outcome": [rule.outcome for rule in rules],
            "mechanism": [rule.mechanism for rule in rules],
            "is_artefact": [rule.is_artefact for rule in rules],
            "comment": [rule.comment for rule in rules],
        }
    )
