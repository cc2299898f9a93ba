"""Both gateways do the same."""

from __future__ import annotations

import http.client
import json
import random
import socket
import time
from collections import Counter

import pytest

from mlctl.rollout.routes import TOTAL, Mirror, Routes
from mlctl.runtime.gateway.units import place, text_of
from mlctl.stats.assignment import bucket
from mlctl.types.jobs.rollout import Unit
from tests.integration.gateway.parts import MAX_BODY, TIMEOUT_SECONDS, UNIT, Running

ODD = [
    "é", "日本語", "🙂", "a🙂b🚀", "\u00ff", "\ud7ff\ue000", "\U0010ffff", "ı", "Ünïcode", "a b", "a,b", "=;\"'%", "0", "-1", "x" * 2000,
    "🙂" * 500, "a\tb", "\x7f\x80"[1:], "user@example.com", "00000000-0000-0000-0000-000000000000",
]  # fmt: skip


def test_a_unit_is_where_the_analysis_puts_it(front: Running) -> None:
    """Whatever its name is."""
    front.gateway.configure(front.routes(3000))
    client, dice = front.client(), random.Random(6)
    units = (
        ODD
        + [str(number) for number in range(100)]
        + [
            "".join(
                chr(
                    dice.choice(
                        [dice.randrange(0x21, 0x7F), dice.randrange(0xA1, 0xD800), dice.randrange(0x10000, 0x110000)]
                    )
                )
                for _ in range(dice.randrange(1, 12))
            )
            for _ in range(100)
        ]
    )
    for unit in units:
        answer = client.ask(unit=unit)
        wanted = bucket(unit, UNIT.salt)
        assert answer.header("x-mlctl-bucket") == [str(round(wanted * TOTAL))], unit
        assert answer.json()["name"] == ("candidate" if wanted >= 0.7 else "stable"), unit


@pytest.mark.parametrize(
    "raw",
    [b"Jos\xe9", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe0\x80\x80", b"ok\xe2\x82", b"\x80", b"\xf0\x8f\xbf\xbf"],
)  # fmt: skip
def test_bytes_that_are_no_utf8_are_latin1(front: Running, raw: bytes) -> None:
    """No unit is lost, and a client that sends `José` as it did in 1999 has the same place as one that does not."""
    front.gateway.configure(front.routes(3000))
    assert front.client().ask(unit=raw).header("x-mlctl-bucket") == [
        str(round(bucket(raw.decode("latin-1"), UNIT.salt) * TOTAL))
    ]
    assert text_of(b"Jos\xe9") == text_of("José".encode())


def test_a_header_given_twice_is_one_unit(front: Running) -> None:
    """The same one always: its values, joined by commas."""
    front.gateway.configure(front.routes(3000))
    connection = http.client.HTTPConnection("127.0.0.1", front.spec.port)
    connection.putrequest("GET", "/")
    connection.putheader(UNIT.header, "a")
    connection.putheader(UNIT.header, "b")
    connection.endheaders()
    told = dict(json.load(connection.getresponse())["headers"])
    connection.close()
    assert told["x-mlctl-bucket"] == str(place(b"a,b", UNIT.salt))


def test_without_a_unit_shares_are_by_chance(front: Running) -> None:
    """Within sampling: four standard deviations of 250 draws are 11.6 points. An empty header names no unit."""
    front.gateway.configure(front.routes(3000))
    client = front.client()
    for unit in (None, ""):
        names = Counter(client.ask(unit=unit).json()["name"] for _ in range(250))
        assert 0.3 - 0.116 < names["candidate"] / 250 < 0.3 + 0.116
    assert client.ask().header("x-mlctl-bucket") == []


def test_a_growing_share_moves_units_only_to_it(front: Running) -> None:
    """Nobody who was with the candidate comes back."""
    client, before = front.client(), set[str]()
    for share in (0, 500, 2500, 6000, TOTAL):
        front.gateway.configure(front.routes(share))
        now = {str(unit) for unit in range(60) if client.ask(unit=str(unit)).json()["name"] == "candidate"}
        assert before <= now
        before = now
    assert len(before) == 60


def test_a_server_is_told_variant_place_and_propensity(front: Running) -> None:
    """By the gateway only: what a client says of that is not passed on."""
    front.gateway.configure(front.routes(3000))
    told = [
        front.client().ask(unit=unit, x_mlctl_bucket="1", x_mlctl_model="evil", x_mlctl_propensity="1")
        for unit in ("1", "2", "3", "4", "5", "6")
    ]
    assert {answer.json()["name"] for answer in told} == {"stable", "candidate"}
    for answer in told:
        share = {"stable": "0.7", "candidate": "0.3"}[answer.json()["name"]]
        assert answer.header("x-mlctl-variant") == [answer.json()["name"]]
        assert answer.header("x-mlctl-propensity") == [share]
        assert answer.header("x-mlctl-model") == []


def test_a_client_may_pick_a_version_without_a_share(front: Running) -> None:
    """A preview. It was not split, so it has no propensity; and a version that is not there is nobody's choice."""
    front.gateway.configure(front.routes(0))
    answer = front.client().ask(unit="1", x_mlctl_variant="candidate")
    assert answer.json()["name"] == "candidate"
    assert answer.header("x-mlctl-variant") == ["candidate"]
    assert answer.header("x-mlctl-propensity") == []
    other = front.client().ask(unit="1", x_mlctl_variant="nobody")
    assert (other.json()["name"], other.header("x-mlctl-variant")) == ("stable", ["stable"])


def test_adapters_of_one_engine_are_told_apart_by_headers(front: Running) -> None:
    """One port, two variants."""
    backends = {"a": front.stable.backend("1", "base"), "b": front.stable.backend("2", "tuned")}
    front.gateway.configure(Routes(backends, {"a": 5000, "b": 5000}, UNIT))
    client = front.client()
    told = {
        (*answer.header("x-mlctl-variant"), *answer.header("x-mlctl-model"))
        for answer in (client.ask(unit=str(unit)) for unit in range(20))
    }
    assert told == {("a", "base"), ("b", "tuned")}


def test_a_shadow_gets_copies_and_nobody_hears_it(front: Running) -> None:
    """The same body and request id, a host that says so, its own labels; that it fails is invisible."""
    routes = front.routes(0)
    backends = {**routes.backends, "candidate": front.candidate.backend("2", "tuned")}
    front.gateway.configure(Routes(backends, routes.shares, UNIT, Mirror("candidate", TOTAL)))
    before = front.gateway.mirrored().get("candidate", (0, 0))
    note = f"copies-{front.spec.type}"
    answer = front.client().ask(body=b"[1]", unit="1", x_test_note=note, x_request_id="request-1")
    failed = front.client().ask("/fail", body=b"[1]", x_test_note=note)
    assert (answer.status, answer.json()["name"]) == (200, "stable")
    assert failed.headers["x-served-by"] == "stable"
    copies = _eventually(lambda: front.candidate.seen(note), 2)
    headers = dict(copies[0]["headers"])
    assert copies[0]["body"] == "[1]"
    assert headers["host"] == f"127.0.0.1-shadow:{front.spec.port}"
    assert (headers["x-request-id"], headers["x-mlctl-variant"], headers["x-mlctl-model"]) == (
        "request-1",
        "candidate",
        "tuned",
    )
    time.sleep(0.1)
    after = front.gateway.mirrored()["candidate"]
    assert (after[0] - before[0], after[1] - before[1]) == (2, 1)


@pytest.mark.parametrize("by_unit", [True, False])
def test_the_share_of_copies_is_kept_and_a_version_is_not_its_own_shadow(front: Running, by_unit: bool) -> None:
    """Half of what the stable version answers, which answers half."""
    note = f"share-{front.spec.type}-{by_unit}"
    front.gateway.configure(front.routes(5000, mirror=5000))
    client = front.client()
    for unit in range(400):
        client.ask(unit=str(unit) if by_unit else None, x_test_note=note)
    time.sleep(0.2)
    names = [dict(item["headers"])["host"].startswith("127.0.0.1-shadow:") for item in front.candidate.seen(note)]
    assert 400 * 0.4 < names.count(False) < 400 * 0.6
    assert 400 * 0.17 < names.count(True) < 400 * 0.33


def test_a_request_has_one_id(front: Running) -> None:
    """The client's own, or a new one; the server and the client both get it."""
    front.gateway.configure(front.routes(0))
    own = front.client().ask(x_request_id="mine-1")
    assert own.header("x-request-id") == ["mine-1"] == [own.headers["x-request-id"]]
    made = front.client().ask()
    assert [made.headers["x-request-id"]] == made.header("x-request-id")
    assert len(made.headers["x-request-id"]) == 36


def test_a_stream_comes_as_it_is_made_and_is_not_cut(front: Running) -> None:
    """Longer than the time-out, which is for what does not come."""
    front.gateway.configure(front.routes(0))
    client = front.client()
    began = time.monotonic()
    client.connection.request("GET", "/stream?n=5&pause=0.2")
    answer = client.connection.getresponse()
    times = []
    while answer.readline():
        times.append(time.monotonic() - began)
    assert len(times) == 10
    assert times[-1] - times[0] > 0.5  # the first came while the last was not made
    assert times[-1] > max(0.75, TIMEOUT_SECONDS)


def test_a_stream_that_stops_is_ended(front: Running) -> None:
    """The client knows that it is not the whole answer, and so do the counts."""
    front.gateway.configure(front.routes(0))
    before, client = front.gateway.counts(), front.client()
    client.connection.request("GET", "/stream?n=2&pause=5")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        client.connection.getresponse().read()
    time.sleep(0.1)
    assert front.counted(before) == {"stable": (1, 1)}


def test_a_server_that_hangs_is_a_504(front: Running) -> None:
    """With a body that says so."""
    front.gateway.configure(front.routes(0))
    began = time.monotonic()
    answer = front.client().ask("/hang")
    assert (answer.status, answer.json()["code"]) == (504, "gateway.timeout")
    assert TIMEOUT_SECONDS - 0.1 < time.monotonic() - began < TIMEOUT_SECONDS + 3
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_body_that_is_too_large_is_a_413(front: Running) -> None:
    """One of exactly the size goes through; one in chunks of unknown length is stopped too."""
    front.gateway.configure(front.routes(0))
    assert len(front.client().ask(body=b"a" * MAX_BODY).json()["body"]) == MAX_BODY
    answer = front.client().ask(body=b"a" * (MAX_BODY + 1))
    assert (answer.status, answer.json()["code"]) == (413, "gateway.too-large")
    chunked = front.client()
    chunked.connection.request(
        "POST", "/", body=iter([b"a" * 60_000] * 2), encode_chunked=True, headers={"transfer-encoding": "chunked"}
    )
    assert chunked.connection.getresponse().status == 413


def test_a_client_that_does_not_send_its_body_holds_up_no_server(front: Running) -> None:
    """The request is routed when it is whole: by the routes of then."""
    front.gateway.configure(front.routes(0))
    note = f"late-{front.spec.type}"
    with socket.create_connection(("127.0.0.1", front.spec.port), timeout=10) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nhost: a\r\nx-test-note: %s\r\ncontent-length: 4\r\n\r\nab" % note.encode())
        time.sleep(0.2)
        assert front.stable.seen(note) == []
        slow.sendall(b"cd")
        assert b"200 OK" in slow.recv(4096)
    assert [item["body"] for item in front.stable.seen(note)] == ["abcd"]


def test_nobody_changes_an_engine_through_the_gateway(front: Running) -> None:
    """However the path is written."""
    front.gateway.configure(front.routes(0))
    for path in (
        "/v1/load_lora_adapter",
        "/v1/%6Coad_lora_adapter",
        "//v1//unload_lora_adapter",
        "/v1/x/../load_lora_adapter",
        "/v1%2fload_lora_adapter?a=b",
        "/v1/unload_lora_adapter/",
    ):
        answer = front.client().ask(path, body=b"{}")
        assert (answer.status, answer.json()["code"]) == (404, "gateway.closed"), path
    assert front.client().ask("/v1/models").status == 200


def test_a_request_of_http_1_0_is_answered(front: Running) -> None:
    """As many health checks still send it."""
    front.gateway.configure(front.routes(0))
    with socket.create_connection(("127.0.0.1", front.spec.port), timeout=10) as old:
        old.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert b" 200 OK" in old.recv(4096)


def test_headers_without_end_are_a_431(front: Running) -> None:
    """What is long but not that long goes through."""
    front.gateway.configure(front.routes(0))
    assert front.client().ask(unit="x" * 50_000).header("x-mlctl-bucket") == [str(place(b"x" * 50_000, UNIT.salt))]
    answer = front.client().ask(unit="x" * 62_000)
    assert (answer.status, answer.json()["code"]) == (431, "gateway.headers-too-large")


def test_query_method_status_and_headers_pass_unchanged(front: Running) -> None:
    """The gateway is not there."""
    front.gateway.configure(front.routes(0))
    answer = front.client().ask("/a%20b?q=1&q=%2F", body=b"x", x_own="1", authorization="Bearer t", cookie="a=b")
    assert (answer.json()["method"], answer.json()["target"]) == ("POST", "/a%20b?q=1&q=%2F")
    assert (answer.header("x-own"), answer.header("authorization"), answer.header("cookie")) == (
        ["1"],
        ["Bearer t"],
        ["a=b"],
    )
    assert answer.headers["x-served-by"] == "stable"
    assert front.client().ask("/fail").status == 500


def test_counts_are_of_answers_and_errors_of_each_variant(front: Running) -> None:
    """What never reached a variant is not its own."""
    front.gateway.configure(front.routes(TOTAL))
    before = front.gateway.counts()
    client = front.client()
    for path in ("/", "/", "/fail"):
        client.ask(path)
    client.ask(body=b"a" * (MAX_BODY + 1))
    assert front.counted(before) == {"candidate": (3, 1)}


def test_a_client_that_leaves_is_nobodys_error(front: Running) -> None:
    """And its request is given up."""
    front.gateway.configure(front.routes(0))
    before = front.gateway.counts()
    with socket.create_connection(("127.0.0.1", front.spec.port), timeout=10) as client:
        client.sendall(b"GET /hang HTTP/1.1\r\nhost: a\r\n\r\n")
        time.sleep(0.1)
    time.sleep(TIMEOUT_SECONDS + 0.2)
    assert front.counted(before) == {}


def test_a_head_request_has_the_headers_and_no_body(front: Running) -> None:
    """And the connection goes on."""
    front.gateway.configure(front.routes(0))
    client = front.client()
    client.connection.request("HEAD", "/")
    answer = client.connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    assert int(answer.headers["content-length"]) > 0
    assert client.ask().status == 200


def test_another_salt_is_another_split(front: Running) -> None:
    """And takes effect as routes do."""
    client = front.client()
    places = []
    for salt in ("one", "two", 'with "quotes" \\ and ]] and @START@'):
        front.gateway.configure(front.routes(5000, unit=Unit(header="X-User-Id", salt=salt)))
        told = client.ask(unit="u-7").header("x-mlctl-bucket")
        assert told == [str(place(b"u-7", salt))]
        places += told
    assert len(set(places)) == 3


def _eventually(look: object, number: int) -> list[dict[str, object]]:
    deadline = time.monotonic() + 5
    while True:
        found: list[dict[str, object]] = look()  # type: ignore[operator]
        if len(found) >= number or time.monotonic() > deadline:
            assert len(found) == number
            return found
        time.sleep(0.02)
