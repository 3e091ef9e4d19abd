"""Mutual TLS between nodes: whose certificate is let in, what both sides say of the others, and the way there."""

from __future__ import annotations

import asyncio
import datetime
import random
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from quorate.cluster.entry import FEATURE_LEVEL
from quorate.cluster.raft import messages
from quorate.cluster.raft.transport import connection, transport
from quorate.cluster.raft.transport.handshake.cipher import BadFrame
from quorate.cluster.raft.transport.handshake.credentials import Credentials
from quorate.cluster.raft.transport.handshake.tls_layer import TlsLayer, names_of
from quorate.cluster.raft.transport.inquiry import ask_who_is_at
from quorate.cluster.raft.transport.link_reasons import other_name
from quorate.cluster.raft.transport.transport import HANDSHAKES_MAX
from quorate.security.link_tls import LinkContexts
from quorate.security.tls import first_certificate
from tests.support.certificates import DAY, Authority
from tests.support.waiting import until
from tests.unit.raft.alone import alone
from tests.unit.raft.raw_peer import KEY, Node, RawPeer, Run, pair
from tests.unit.raft.test_link_reasons import lines, refused


class Certified:
    """Nodes with certificates of one authority, or of others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder, "cluster")

    def contexts(self, name: str, *, by: Authority | None = None, lasts: datetime.timedelta = DAY) -> LinkContexts:
        """For a node of this name, which trusts the cluster's authority."""
        cert, key = (by or self.authority).issue(name, [name], lasts=lasts)
        return LinkContexts(cert, key, self.authority.file)

    def node(self, id: str, *, name: str | None = None, key: bytes | None = None, **issue: object) -> Node:
        node = Node(id, key=key)
        contexts = self.contexts(name or id, **issue)  # type: ignore[arg-type]
        node.transport.credentials = Credentials((key,) if key else (), contexts)
        return node


@pytest.fixture
def certified(tmp_path: Path) -> Certified:
    return Certified(tmp_path)


def test_two_nodes_with_certificates_connect_and_send_both_ways(run: Run, certified: Certified) -> None:
    async def main() -> None:
        async with certified.node("n1") as one, certified.node("n2") as two:
            await pair(one, two)
            big = messages.Append(3, 0, 0, 0, [(3, b"x" * 3_000_000)])
            assert one.transport.send("n2", big)
            assert two.transport.send("n1", messages.Ballot(3, pre=False))
            await until("it came", lambda: two.heard and one.heard)
            assert ([("n1", big)], [("n2", messages.Ballot(3, pre=False))]) == (two.heard, one.heard)
            asker = Credentials(tls=certified.contexts("n2"))
            assert "n1" == (await ask_who_is_at(f"127.0.0.1:{one.port}", "n1", "n2", asker)).node_id

    run(main())


def renamed(certified: Certified) -> Node:
    return certified.node("n2", name="n7")


def foreign(certified: Certified) -> Node:
    return certified.node("n2", by=Authority(certified.folder, "stranger"))


def expired(certified: Certified) -> Node:
    return certified.node("n2", lasts=-DAY)


def without(certified: Certified) -> Node:
    return Node("n2", key=KEY)


BAD: dict[str, tuple[Callable[[Certified], Node], str, str]] = {
    "renamed": (renamed, "it calls itself n2, and its certificate is for n7", "its certificate is for n7"),
    "foreign": (foreign, "its certificate is not of this node's raft.tls_ca", "it says that the certificate of this"),
    "expired": (expired, "its certificate has expired", "it says that the certificate of this node has expired"),
    "without TLS": (without, "it came without TLS", "it takes connections with TLS only"),
}


@pytest.mark.parametrize("dials", [True, False])
@pytest.mark.parametrize(("make", "here", "there"), BAD.values(), ids=BAD.keys())
def test_a_wrong_certificate_is_refused_in_words_on_both_sides_whoever_dials(
    run: Run,
    certified: Certified,
    make: Callable[[Certified], Node],
    here: str,
    there: str,
    dials: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if make is without and not dials:
        here, there = "it answered without TLS", "it speaks TLS"

    async def main() -> None:
        async with certified.node("n1") as one, make(certified) as two:
            caller, called = (two, one) if dials else (one, two)
            caller.dial(called)
            await until("n1 says it", lambda: lines(caplog, here))
            await until("n2 says it", lambda: lines(caplog, there))
            assert ([], []) == (one.up, two.up)

    run(main())


def test_a_node_without_a_certificate_is_shown_nothing(run: Run, certified: Certified) -> None:
    async def main() -> None:
        async with certified.node("n1") as one, await RawPeer.connect(one) as stranger:
            await stranger.greet(key=None)
            assert await stranger.is_hung_up_on()
            assert [] == one.up

    run(main())


def test_a_cluster_goes_over_from_the_key_to_certificates_one_node_after_the_other(
    run: Run, certified: Certified
) -> None:
    async def main() -> None:
        async with Node("n1", key=KEY) as one, Node("n2", key=KEY) as two:
            await pair(one, two)
            of = {node: certified.contexts(node.transport.node_id) for node in (one, two)}
            steps = [(node, keys) for keys in ((KEY,), ()) for node in (one, two)]
            for node, keys in steps:
                node.transport.credentials = Credentials(keys, of[node])
                ups = len(one.up) + len(two.up)
                one.transport.refuse("n2", "it is started again")
                await until_back(one, two, ups)

    run(main())


async def until_back(one: Node, two: Node, ups: int) -> None:
    await until("they are back", lambda: len(one.up) + len(two.up) >= ups + 2)


def test_a_renewed_certificate_is_used_without_a_restart_and_the_old_one_still_goes(
    run: Run, certified: Certified
) -> None:
    async def main() -> None:
        async with certified.node("n1") as one, certified.node("n2") as two:
            await pair(one, two)
            contexts = two.transport.credentials.tls
            assert isinstance(contexts, LinkContexts)
            certified.authority.issue("n2", ["n2"])
            before = contexts.client
            await contexts.live.look()
            await contexts.live.look()
            assert contexts.client is not before
            assert one.transport.is_open("n2"), "the connection that stands goes on"
            ups = len(one.up) + len(two.up)
            one.transport.refuse("n2", "it is made again")
            await until_back(one, two, ups)

    run(main())


@pytest.mark.parametrize(("sites", "names"), [(["n1", "host.example"], ("n1", "host.example")), ([], ("node",))])
def test_the_name_is_a_dns_name_or_without_one_the_common_name(
    tmp_path: Path, sites: list[str], names: tuple[str, ...]
) -> None:
    cert, _ = Authority(tmp_path).issue("node", sites)
    assert names == names_of(first_certificate(cert))


def test_refused_is_told_in_the_status(run: Run, certified: Certified) -> None:
    async def main() -> None:
        async with certified.node("n1") as one, renamed(certified) as two:
            one.dial(two)
            two.dial(one)
            await until("both tell", lambda: refused(one, "n2") and refused(two, "n1"))
            assert "its certificate is for n7" in refused(one, "n2")

    run(main())


def test_a_certificate_of_a_removed_member_opens_nothing_under_that_name_and_a_renewed_one_does(
    run: Run, certified: Certified, tmp_path: Path
) -> None:
    """Only what was removed is refused, so renewing locks nobody out. Replacing a disk does not change who it is."""
    cert, key = certified.authority.issue("n2", ["n2"])
    old_cert, old_key = (path.rename(path.with_name(f"old-{path.name}")) for path in (cert, key))
    old = Credentials(tls=LinkContexts(old_cert, old_key, certified.authority.file))
    new = Credentials(tls=certified.contexts("n2"))

    def two_with(credentials: Credentials) -> Node:
        node = Node("n2")
        node.transport.credentials, node.level = credentials, FEATURE_LEVEL
        return node

    async def main() -> None:
        ours = Credentials(tls=certified.contexts("n1"))
        async with alone(tmp_path / "n1", None, credentials=ours) as (replica, port):

            async def comes_in(credentials: Credentials) -> bool:
                async with two_with(credentials) as two:
                    two.transport.set_members({"n1": [f"127.0.0.1:{port}"]})
                    await until("it is decided", lambda: two.refusals or replica.transport.is_open("n2"))
                    assert all("from before n2 was taken out" in why for _, why in two.refusals)
                    return not two.refusals

            await replica.change_members(lambda members: members.adding("n2", "127.0.0.1:9"))
            assert await comes_in(old)
            certificate = replica.transport.certificate_of("n2")
            await replica.change_members(lambda members: members.removing("n2").adding("n2", "127.0.0.1:9"))
            assert await comes_in(old), "it was replaced"
            await replica.change_members(lambda members: members.removing("n2", certificate))
            await replica.change_members(lambda members: members.adding("n2", "127.0.0.1:9"))
            assert not await comes_in(old)
            assert await comes_in(new)

    run(main())


def two_layers(certified: Certified) -> tuple[TlsLayer, TlsLayer]:
    """Both ends of a connection whose handshake is done."""
    dials = TlsLayer(certified.contexts("n1").client, dialled=True)
    answers = TlsLayer(certified.contexts("n2").server, dialled=False)
    dials.begin()
    while not answers.established:
        answers.feed(dials.outgoing())
        if data := answers.outgoing():
            dials.feed(data)
    assert (("n2",), ("n1",)) == (dials.names, answers.names)
    return dials, answers


def older(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("shows", "change", "here", "there"),
    [
        (True, older, "it does not speak TLS 1.3", "it does not speak TLS 1.3"),
        (False, lambda context: None, "it showed no certificate", "it says that this node showed no certificate"),
    ],
    ids=["TLS 1.2", "no certificate"],
)
def test_who_speaks_an_older_tls_or_shows_nothing_is_told_so(
    certified: Certified, shows: bool, change: Callable[[ssl.SSLContext], None], here: str, there: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(certified.authority.file)
    if shows:
        context.load_cert_chain(*certified.authority.issue("n1", ["n1"]))
    change(context)
    dials, answers = TlsLayer(context, dialled=True), TlsLayer(certified.contexts("n2").server, dialled=False)
    dials.begin()
    assert [here, there] == [why_failed(dials, answers), why_failed(answers, dials)]


def why_failed(speaks: TlsLayer, hears: TlsLayer) -> str:
    """What the end that hears says of the other one, in the end."""
    for _ in range(3):
        try:
            hears.feed(speaks.outgoing())
            speaks.feed(hears.outgoing())
        except BadFrame as error:
            return str(error)
    return ""


def test_a_certificate_with_very_many_names_makes_a_short_reason() -> None:
    assert len(other_name("n2", [f"host-{number}.example" for number in range(10_000)])) < 500


def test_a_record_that_was_changed_ends_the_connection_and_nothing_fails_inside(certified: Certified) -> None:
    dials, answers = two_layers(certified)
    record = bytearray(dials.seal(b"x" * 100))
    record[50] ^= 1
    with pytest.raises(BadFrame, match="TLS failed"):
        answers.feed(bytes(record))
    answers.seal(b"what was about to be sent")


def test_garbage_in_the_place_of_tls_ends_its_connection_only(
    run: Run, certified: Certified, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(5)
    hello = TlsLayer(certified.contexts("n3").client, dialled=True)
    hello.begin()
    good = hello.outgoing()
    said = [b"\x16", b"\x16\x03\x01\x00", b"\x16\x03\x01\xff\xff" + rng.randbytes(300), good[:-1] + b"\0", good + good]

    async def main() -> None:
        async with certified.node("n1") as one, certified.node("n2") as two:
            await pair(one, two)
            for data in said:
                async with await RawPeer.connect(one) as stranger:
                    stranger.writer.write(data)
                    stranger.writer.write_eof()
                    assert await stranger.is_hung_up_on()
            assert one.transport.is_open("n2")

    run(main())
    assert [] == [record for record in caplog.records if record.exc_info]


def test_a_flood_of_handshakes_leaves_the_loop_to_others(
    run: Run, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs more than what a stranger pays for it. A peer from another host has its turn among them."""
    monkeypatch.setattr(transport, "HANDSHAKES_PER_S", 20)
    monkeypatch.setattr(transport, "HANDSHAKES_AT_ONCE", 3)
    hello = TlsLayer(certified.contexts("n3").client, dialled=True)
    hello.begin()
    first, made = hello.outgoing(), []

    class Counted(TlsLayer):
        def __init__(self, context: ssl.SSLContext, *, dialled: bool) -> None:
            super().__init__(context, dialled=dialled)
            made.append(dialled)

    async def main() -> None:
        async with certified.node("n1") as one, certified.node("n2") as two, AsyncExitStack() as stack:
            monkeypatch.setattr(connection, "TlsLayer", Counted)
            for _ in range(HANDSHAKES_MAX - 2):
                there = await asyncio.open_connection("127.0.0.1", one.port, local_addr=("127.0.0.2", 0))
                stranger = await stack.enter_async_context(RawPeer(*there))
                stranger.writer.write(first)
            await until("some had their turn", lambda: len(made) >= 3)
            assert len(made) < HANDSHAKES_MAX // 2
            two.dial(one)
            await until("the peer is in", lambda: one.transport.is_open("n2"))
            assert made.count(False) < HANDSHAKES_MAX - 2, "before all of the strangers"

    run(main())
