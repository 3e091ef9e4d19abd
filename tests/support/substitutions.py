"""What a test types instead of what a document shows, because a machine has other ports, hosts and hours than a reader.

For commands, all of it stands here. A world gives the places: `{node1}` is the URL of its first node without `http://`,
and so on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

PLACES = {
    r"\b127\.0\.0\.1:800([123])\b": "{node\\1}",
    r"\bvotes\.example:8001\b": "{node1}",
    r"\b127\.0\.0\.1:4150\b": "{nsqd1}",
    r"\b127\.0\.0\.1:4151\b": "{nsqd1_http}",
    r"\b127\.0\.0\.1:4161\b": "{lookupd}",
    r"\b10\.0\.0\.([12]):4150\b": "{nsqd\\1}",
    r"\bmongosh ballots\b": "mongosh {database}",
    r"(?<![\w.])/(?:etc/quorate|backups)/": "{folder}/",
    r"~/": "{folder}/",
    r"\bage1…": "{recipient}",
}
# Three hosts are three addresses of this one, and have other ports.
HOSTS = {
    r"\b127\.0\.0\.1:8500\b": "{consul}",
    r"@127\.0\.0\.1 -p 8600\b": "@127.0.0.1 -p {consul_dns}",
    r"(?<=\)):8001/": ":{http_port}/",
    r"Bearer …": "Bearer {token}",
    r"\bSECRET_ID\b": "{secret_id}",
    r"^consul agent ": "consul agent {consul_flags} ",
    r"(?<!\w)/var/lib/quorate\b": "{folder}/data",
    r"\b10\.0\.0\.1:8001\b": "{own_http}",
    r"\b10\.0\.0\.1:9001\b": "{own_raft}",
    r"\bmongodb://db\.example:27017\b": "{mongo}",
}
# Posts come from doubles of the networks, with the secrets that these know.
NETWORKS = {
    r"^quorate stream (wikimedia|bluesky|x) --(?!url)": "quorate stream \\1 --url {\\1} --",
    r"^quorate stream bluesky$": "quorate stream bluesky --url {bluesky}",
    r"\bws://127\.0\.0\.1:6008\b": "{bluesky}",
    r"\bwss://(relay2?)\.example\b": "{\\1}",
    r"\bhttps://mastodon\.example\b": "{mastodon}",
    r"\bhttps://stream\.example/": "{twitter}/",
    r"\b(SP_\w+)=\.\.\.": "\\1={\\1}",
}
# What takes minutes or hours is told to do less, and the node of one host waits for no other. The history of a run of
# chaos stands where the next line reads it.
SHORTENED = {
    r"quorate chaos (.*)--duration \w+": "quorate chaos \\1--duration 2s",
    r"quorate chaos(?!.*--(duration|mutant))": "quorate chaos --duration 2s --history history.ndjson",
    r"--seeds \d+": "--seeds 1",
    r"QUORATE_SEEDS=\d+": "QUORATE_SEEDS=1",
    r"^\.venv/bin/pytest tests/(house|unit/state -k .*)$": ".venv/bin/pytest tests/\\1 --collect-only -q",
    r"--id n1 (.*)--bootstrap-expect 3": "--id n1 \\1--bootstrap-expect 1",
    r"^quorate bench": "quorate bench --duration 1s",
    r" --duration 30s$": "",
}
# Members and clusters of operators.
OPERATORS = {
    r"\bhost:9004\b": "{n4_raft}",
    r"\bHOST:PORT\b": "{moved_raft}",
    r"--config FILE\b": "--config {config}",
    r"\bb\.example:9001\b": "{n2_raft}",
    r"\ba\.example:8001\b": "{node1}",
}
TABLES = (PLACES, HOSTS, NETWORKS, SHORTENED, OPERATORS)


def substituted(line: str, places: Mapping[str, str]) -> str:
    """Without its comment."""
    line = re.sub(r"\s+# .*", "", line)
    for pattern, text in (pair for table in TABLES for pair in table.items()):
        line = re.sub(pattern, lambda found, text=text: found.expand(text).format_map(places), line)  # type: ignore[misc]
    return line
