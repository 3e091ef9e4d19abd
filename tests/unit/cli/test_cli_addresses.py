"""What commands say of a node that cannot be asked, of one that did not answer, and of addresses that are none."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

import pytest

from tests.support.http_node import Node
from tests.support.tls_server import tls_server
from tests.unit.cli.told import Capture, Told

NOWHERE = "http://127.0.0.1:1"


def test_https_to_a_plain_port_is_surely_not_done_and_says_why(node: Node, capsys: Capture) -> None:
    told = Told(capsys, "vote", "happy", "--node", f"https://127.0.0.1:{node.port}", "--timeout", "20")
    assert (3, {"happy": 0, "sad": 0}) == (told.code, node.tally())
    assert "it speaks no TLS; is its address http://" in told.err
    assert "Nothing was changed" in told.err


NGINX = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 53\r\n\r\nThe plain HTTP request was sent to HTTPS port (nginx)"
GO = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
ALERT = b"\x15\x03\x01\x00\x02\x02\x46"


@pytest.mark.parametrize("answer", [b"", ALERT, NGINX, GO], ids=["hangs up", "alert", "nginx", "go"])
def test_http_to_a_port_for_tls_is_surely_not_done_and_says_why(tmp_path: Path, capsys: Capture, answer: bytes) -> None:
    with tls_server(tmp_path, answer=answer) as port:
        told = Told(capsys, "vote", "happy", "--node", f"http://127.0.0.1:{port}", "--timeout", "20")
    assert 3 == told.code
    assert f"http://127.0.0.1:{port} cannot be reached: it speaks TLS; is its address https://" in told.err
    assert "Nothing was changed" in told.err


def test_https_to_a_port_that_hangs_up_is_surely_not_done(capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=hang_up, args=(listening,), daemon=True).start()
        told = Told(capsys, "vote", "happy", "--node", f"https://127.0.0.1:{listening.getsockname()[1]}")
        listening.shutdown(socket.SHUT_RDWR)
    assert 3 == told.code
    assert "is its address http:// instead of https://" in told.err


def test_https_to_a_port_that_never_answers_is_surely_not_done(capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"https://127.0.0.1:{listening.getsockname()[1]}"
        told = Told(capsys, "vote", "happy", "--node", address, "--timeout", "20")
    assert 3 == told.code
    assert "Nothing was changed" in told.err


def hang_up(listening: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            accepted, _ = listening.accept()
            accepted.recv(65_536)
            accepted.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("members", "remove", "n2"), "The members may or may not have changed"),
        (("members", "remove", "n2"), "Look with: quorate members"),
        (("leader", "--hand-over"), "Look with: quorate leader"),
        (("polls", "close", "mood"), "Ask the same again, or look with: quorate polls"),
        (("settings", "set", "votes.dedup_window", "5"), "Look with: quorate settings show"),
    ],
)
def test_an_unknown_outcome_speaks_of_what_was_asked(arguments: tuple[str, ...], said: str, capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=hang_up, args=(listening,), daemon=True).start()
        node = f"http://127.0.0.1:{listening.getsockname()[1]}"
        told = Told(capsys, *arguments, "--node", node, "--timeout", "20")
        listening.shutdown(socket.SHUT_RDWR)
    assert 4 == told.code
    assert said in told.err
    assert "counted" not in told.err


@pytest.mark.parametrize(
    ("node", "code", "said"),
    [
        ("localhost:28500x", 2, "'localhost:28500x' is no node's URL; give one as http://127.0.0.1:8001"),
        ("http://[::1:8001", 2, "is no node's URL"),
        ("http://127.0.0.1:0", 2, "is no node's URL"),
        ("127.0.0.2", 3, "it gives no port, so 80 was asked; a node's own is 8001 or so"),
    ],
)
def test_a_wrong_address_of_a_node_is_said_in_words(node: str, code: int, said: str, capsys: Capture) -> None:
    told = Told(capsys, "vote", "happy", "--node", node, "--timeout", "20")
    assert code == told.code, told.err
    assert said in told.err
    assert "bug" not in told.err


def test_an_address_with_a_path_is_asked_about(node: Node, capsys: Capture) -> None:
    told = Told(capsys, "vote", "happy", "--node", f"http://127.0.0.1:{node.port}/votes")
    assert 1 == told.code
    assert f"--node http://127.0.0.1:{node.port}/votes has a path of its own; is that right?" in told.err


def test_without_a_leader_each_thing_is_said_once(node: Node, capsys: Capture) -> None:
    def lose() -> None:
        node.replica.leader = None

    node.call(lose)
    told = Told(capsys, "vote", "happy", "--timeout", "20")
    assert (1, 1) == (told.err.lower().count("no leader is known"), told.err.count("Nothing was changed"))
    assert "Which nodes are up: quorate nodes" in told.err


def test_options_may_follow_the_id_of_a_new_poll(node: Node, capsys: Capture) -> None:
    assert 0 == Told(capsys, "polls", "create", "colour", "red", "blue", "--option", "green").code
    assert ["red", "blue", "green"] == node.ask("GET", "/polls/colour").json["options"]


def test_a_poll_that_is_there_with_other_options_is_shown_how_to_change(node: Node, capsys: Capture) -> None:
    told = Told(capsys, "polls", "create", "mood", "red", "blue")
    assert 1 == told.code
    assert "quorate polls edit mood --add-option" in told.err


def test_a_question_that_reaches_nobody_does_not_speak_of_changes(capsys: Capture) -> None:
    told = Told(capsys, "results", "mood", "--node", NOWHERE)
    assert 3 == told.code
    assert "Nobody was reached" in told.err
    assert "Nothing was changed" not in told.err
