-- From the rule of each layer to the rule that explains a measurement.

-- name: layer_outcomes
-- One row is one measurement, with the class and the evidence of the rule of each layer.
SELECT fired.*,
  dns.class AS dns_class, dns.evidence AS dns_evidence,
  tcp.class AS tcp_class, tcp.evidence AS tcp_evidence,
  tls.class AS tls_class, tls.evidence AS tls_evidence,
  http.class AS http_class, http.evidence AS http_evidence, http.is_artefact AS http_is_artefact
FROM fired
  JOIN rules dns ON dns.rule_id = fired.dns_rule
  JOIN rules tcp ON tcp.rule_id = fired.tcp_rule
  JOIN rules tls ON tls.rule_id = fired.tls_rule
  JOIN rules http ON http.rule_id = fired.http_rule

-- name: first_reading
-- One row is one measurement, with the rule that explains it before devices are asked: how the
-- layers combine.
--
-- DNS comes first: where the name is not resolved to the site, nothing behind it is the site's. A
-- page that is reached settles the rest, whatever a separate connection of the same measurement
-- met; only a handshake that is cut towards the site's own address still counts where a plain page
-- was reached. What only a block leaves, and for a plain input the page itself, outranks the look
-- at another port. "down" at a later layer never outranks a block of the page: a site without https
-- is not down. Where a connection or handshake that says nothing is all that came after a good
-- lookup, it explains the measurement: the lookup does not make it ok.
SELECT * EXCLUDE (dns_class, dns_evidence, tcp_class, tcp_evidence, tls_class, tls_evidence,
    http_class, http_evidence, http_is_artefact),
  CASE
    WHEN dns_class IN ('blocked', 'down') THEN dns_rule
    WHEN http_class = 'ok' AND dns_class = 'unknown' AND dns_evidence = 'scored' THEN dns_rule
    WHEN http_rule = 'http.https' THEN http_rule
    WHEN http_class = 'blocked' AND (http_is_artefact OR NOT is_https) THEN http_rule
    WHEN tls_class = 'blocked' AND tls_rule = 'tls.reset' THEN tls_rule
    WHEN http_class = 'ok' THEN http_rule
    WHEN tcp_class = 'blocked' THEN tcp_rule
    WHEN tls_class = 'blocked' THEN tls_rule
    WHEN http_class = 'blocked' THEN http_rule
    WHEN tcp_class = 'down' THEN tcp_rule
    WHEN tls_class = 'down' AND is_https THEN tls_rule
    WHEN http_class = 'down' THEN http_rule
    WHEN dns_evidence = 'scored' AND dns_class = 'unknown' THEN dns_rule
    WHEN tls_evidence = 'scored' AND tls_class = 'unknown' THEN tls_rule
    WHEN http_evidence = 'scored' AND http_class = 'unknown' THEN http_rule
    WHEN http_rule IN ('http.not_measured', 'http.not_connected')
      AND (dns_class = 'ok' OR dns_evidence = 'none')
      AND 'discarded' IN (tcp_evidence, tls_evidence)
      THEN CASE tcp_evidence WHEN 'discarded' THEN tcp_rule ELSE tls_rule END
    WHEN http_evidence <> 'none' THEN http_rule
    WHEN dns_evidence <> 'none' THEN dns_rule
    ELSE http_rule
  END AS rule_id
FROM layer_outcomes

-- name: guarded
-- One row is one measurement, with whether its session is broken.
SELECT f.*, b.session IS NOT NULL AS is_broken_session
FROM first_reading f LEFT JOIN broken_sessions b USING (session, probe_asn)
