-- Connections to addresses that several sites share, with the address in the place of the site.

-- name: shared_addresses
-- One row is one address to which probes tried to connect for several sites.
WITH tried AS (
  SELECT DISTINCT domain, unnest(tcp).address AS address FROM typed_observations
)
SELECT address FROM tried JOIN sites ON host = domain
GROUP BY address HAVING count(DISTINCT registrable_domain) >= $sinkhole_names

-- name: outcomes
-- One row is one measurement of a site that tried a shared address, as the judge reads outcomes,
-- with the address as a site: whether it connected, and if not, how the attempt ended. An attempt
-- counts where the control connects to the address.
WITH connections AS (
  SELECT row_id, t.address::host_name AS address, bool_or(t.failure IS NULL) AS works,
    bool_or(t.control_ok) AND NOT bool_or(is_local_fault(t.failure)) AS is_told,
    CASE WHEN bool_or(is_silence(t.failure)) THEN 'tcp.timeout'
      WHEN bool_or(is_reset(t.failure)) THEN 'tcp.reset' ELSE 'tcp.refused' END AS manner
  FROM (SELECT row_id, unnest(tcp) AS t FROM typed_observations)
  WHERE t.address IN (FROM shared_addresses) GROUP BY row_id, t.address
)
SELECT o.row_id, o.input, o.measurement_start_time, o.day, o.session, address AS domain,
  o.domain AS site, o.probe_asn, o.probe_asn AS resolver_asn, o.site_asn, o.software,
  TRUE AS is_https,
  CASE WHEN works THEN 'ok' WHEN is_told THEN 'blocked' ELSE 'unknown' END AS class,
  CASE WHEN class = 'blocked' THEN manner ELSE '' END AS mechanism, mechanism AS rule_id,
  2::UTINYINT AS rule_order,
  if(class <> 'unknown' AND o.evidence <> 'discarded', 'scored', 'none') AS evidence,
  FALSE AS is_artefact, FALSE AS is_about_target, '' AS set_aside
FROM connections JOIN outcomes o USING (row_id)

-- name: cut_sites
-- One row is one site in one run that tried an address while it was cut: the number of the block.
SELECT DISTINCT number, enum_code(site)::INTEGER AS domain, probe_asn, session
FROM outcomes JOIN cut_runs USING (probe_asn, session)
WHERE enum_code(outcomes.domain)::INTEGER = cut_runs.address

-- name: sites_behind
-- One row is one address and network on which it was listed: the network that hosts it, how many
-- tested sites share it there, and how many of them met the block, with the first by name.
WITH cut AS (
  SELECT DISTINCT address, probe_asn, session FROM cut_runs
), sites AS (
  SELECT domain, o.probe_asn, site::VARCHAR AS site, mode(site_asn ORDER BY site_asn) AS site_asn,
    bool_or(c.session IS NOT NULL) AS is_cut
  FROM outcomes o LEFT JOIN cut c ON address = enum_code(domain)::INTEGER
    AND c.probe_asn = o.probe_asn AND c.session = o.session
  WHERE (enum_code(domain)::INTEGER, o.probe_asn) IN (SELECT address, probe_asn FROM cut)
  GROUP BY ALL
)
SELECT domain::VARCHAR AS address, probe_asn::BIGINT AS probe_asn,
  mode(site_asn ORDER BY site_asn) AS site_asn, count(*) AS site_count,
  count(*) FILTER (is_cut) AS cut_site_count,
  array_to_string((list(site ORDER BY site) FILTER (is_cut))[:$most_sites], ';') AS cut_sites
FROM sites GROUP BY domain, probe_asn
