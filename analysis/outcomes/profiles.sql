-- What the profiles of answers and of pages say of each measurement.

-- name: profiled
-- One row is one measurement, with the columns of features and what the profiles say of it. A view.
SELECT f.*,
  coalesce(s.is_sinkhole, FALSE) AND f.dns_match = 'none' AS is_sinkhole,
  coalesce(s.is_substitution, FALSE) AND f.dns_match = 'none' AS is_substitution,
  x.resolver_asn IS NOT NULL AS is_special_substitution,
  coalesce(s.is_persistent, FALSE) AS is_persistent,
  coalesce(s.is_lone, FALSE) AND f.dns_match = 'none' AS is_lone,
  coalesce(s.is_public_answer, FALSE) AS is_public_answer,
  coalesce(s.is_stale, FALSE) AS is_stale,
  coalesce(s.is_shared_answer, FALSE) AS is_shared_answer,
  d.row_id IS NOT NULL AS has_dns_fingerprint,
  d.row_id IS NOT NULL OR g.row_id IS NOT NULL OR coalesce(p.network_count >= 2, FALSE)
    OR (f.dns_is_own_network AND f.resolver_asn = f.probe_asn)
    OR o.row_id IS NOT NULL AS is_of_network,
  f.registrable_domain IN (FROM zones) AND (f.dns_special IS NOT NULL OR f.dns_failure IS NOT NULL)
    AS is_of_zone,
  l.row_id IS NOT NULL AS is_local_filter,
  coalesce(e.is_away, FALSE) AS is_sent_elsewhere,
  NOT coalesce(e.is_away, TRUE) AND NOT f.is_same_page AND NOT f.is_https_own AS is_replaced,
  coalesce(f.http_failure IS NULL AND NOT f.is_https_own
    AND (p.is_blockpage AND NOT (f.dns_is_own_network AND coalesce(s.is_serving, FALSE))
      OR g.row_id IS NOT NULL), FALSE) AS is_blockpage,
  b.domain IS NOT NULL AS is_name_broken,
  w.title IS NOT NULL AND coalesce(f.http_first_is_answer, TRUE) AS is_page_of_controls,
  NOT f.has_control AND f.is_address_trusted AND u.domain IS NOT NULL AS is_reached_by_others
FROM features f
  LEFT JOIN suspect_flags s USING (row_id)
  LEFT JOIN listed_answers d USING (row_id)
  LEFT JOIN shared_answers o USING (row_id)
  LEFT JOIN filtered l USING (row_id)
  LEFT JOIN special_resolvers x ON x.resolver_asn = f.resolver_asn
    AND x.quarter = date_trunc('quarter', f.day) AND f.dns_special IS NOT NULL
  LEFT JOIN page_profiles p ON p.probe_asn = f.probe_asn AND p.is_blockpage
    AND p.page = f.landing
  LEFT JOIN fingerprinted g USING (row_id)
  LEFT JOIN control_pages w ON w.domain = f.domain AND w.quarter = date_trunc('quarter', f.day)
    AND w.status = f.http_status AND w.title = f.http_title AND f.http_failure IS NULL
  LEFT JOIN reaching_days u ON u.domain = f.domain AND u.day = f.day AND NOT f.has_control
  LEFT JOIN broken_names b ON b.domain = f.domain AND b.day = f.day AND f.control_is_lost
  LEFT JOIN replaced e ON e.probe_asn = f.probe_asn AND NOT f.is_https
    AND e.registrable_domain = f.registrable_domain AND f.http_failure IS NULL AND e.target =
      CASE WHEN f.http_site <> f.registrable_domain THEN 'http://' || f.http_site
           ELSE f.landing END
