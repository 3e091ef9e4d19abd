"""Measures what certificates between nodes cost, beside a shared key.

    python -m bench.links [--clients 256] [--rounds 5] [--seconds 5] [--json FILE]

Two clusters of three nodes stand side by side: one with `raft.key`, one with `raft.tls_cert`. The clients cast one vote
with an id a request, over plain HTTP, spread over the three nodes. The clusters take turns (A B B A ...), and the
medians are shown: votes a second, and CPU time of all nodes a vote. A ratio is that of two rounds side by side, so that
other work on the machine disturbs both; its median counts. Three nodes and the client share this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.run import machine
from bench.systems import Row, measure
from quorate.processes.cluster import FreshCluster

KEY, TLS = "shared key", "certificates"
DAY = datetime.timedelta(days=1)


def clusters(folder: Path, stack: contextlib.ExitStack) -> dict[str, FreshCluster]:
    """Both, with a poll each. Their own certificates need no program, and last for a day."""
    common = {"flush.interval_ms": 1000}
    made = {
        KEY: FreshCluster(folder / "key", settings={**common, "raft.key": secrets.token_hex(32)}),
        TLS: FreshCluster(folder / "tls", settings=common),
    }
    authority = _Authority(folder)
    for node in made[TLS].nodes:
        node.settings.update(authority.issue(node.id))
    for cluster in made.values():
        stack.enter_context(cluster)
        with cluster.client() as client:
            client.create_poll("bench", ["happy", "sad"])
    return made


class _Authority:
    def __init__(self, folder: Path) -> None:
        self._folder, self._name = folder, _named("bench")
        self._key = ec.generate_private_key(ec.SECP256R1())
        itself = self._sign(self._name, self._key.public_key(), ca=True)
        self._file = self._write("ca.pem", itself.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> dict[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(_named(name), key.public_key(), ca=False)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "raft.tls_cert": self._write(f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM)),
            "raft.tls_key": self._write(f"{name}.key", pem),
            "raft.tls_ca": self._file,
        }

    def _sign(self, name: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(self._name, name, key, x509.random_serial_number())
        builder = builder.not_valid_before(now - DAY).not_valid_after(now + DAY)
        basic = x509.BasicConstraints(ca=ca, path_length=None)
        return builder.add_extension(basic, critical=True).sign(self._key, hashes.SHA256())

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.touch(0o600)
        path.write_bytes(content)
        return str(path)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def rounds(args: argparse.Namespace, both: dict[str, FreshCluster]) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {KEY: [], TLS: []}
    for number in range(args.rounds):
        for name in (KEY, TLS) if number % 2 == 0 else (TLS, KEY):
            row = measure(name, both[name], "vote", args.clients, warm_up_s=args.warm_up, seconds=args.seconds)
            rows[name].append(row)
            print(f"{name:14} {row.figures.votes_per_s:8,.0f} votes/s  {row.cpu_us:7.1f} us CPU a vote", flush=True)
    return rows


def shown(rows: dict[str, list[Row]]) -> str:
    """The medians, and that of the ratios, as a table in Markdown."""
    lines = ["| | votes/s | us CPU a vote, all nodes | p50, p99 ms | failures |", "|---|---|---|---|---|"]
    for name, some in rows.items():
        figures = [row.figures for row in some]
        p50_ms, p99_ms = median(f.p50_ms for f in figures), median(f.p99_ms for f in figures)
        failures = sum(sum(f.failures.values()) for f in figures)
        per_s, cpu_us = median(f.votes_per_s for f in figures), median(row.cpu_us for row in some)
        lines.append(f"| {name} | {per_s:,.0f} | {cpu_us:.1f} | {p50_ms:.1f}, {p99_ms:.1f} | {failures} |")
    rate = ratios([row.figures.votes_per_s for row in rows[TLS]], [row.figures.votes_per_s for row in rows[KEY]])
    cpu = ratios([row.cpu_us for row in rows[TLS]], [row.cpu_us for row in rows[KEY]])
    return "\n".join([*lines, f"| {TLS} to {KEY} | {rate} | {cpu} | | |"])


def ratios(these: Sequence[float], those: Sequence[float]) -> str:
    each = [one / other for one, other in zip(these, those, strict=True)]
    return f"{median(each):.3f} ({min(each):.3f} to {max(each):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm-up", type=float, default=1.5)
    parser.add_argument("--folder", type=Path, help="where data goes; not a tmpfs, which syncs nothing")
    parser.add_argument("--json", type=Path, help="write every round's figures there")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quorate-bench-", dir=args.folder)))
        both = clusters(folder, stack)
        print(f"{machine()} for two clusters of three nodes, of which one is idle, and the client; data in {folder}")
        print(f"{args.clients} clients, {args.rounds} rounds of {args.seconds:g} s after {args.warm_up:g} s of warm-up")
        rows = rounds(args, both)
        print(f"\n{shown(rows)}")
        if args.json:
            args.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))


if __name__ == "__main__":
    main()
