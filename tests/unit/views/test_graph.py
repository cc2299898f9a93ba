"""The graph of a project: statuses from the state or from a plan, hostile names as text, boxes that do not overlap."""

import html.parser
import json
import re
import time
from itertools import combinations

import pytest

from mlctl.engine.ledger import Ledger
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, EdgeKind, FieldChange, Plan, Reason
from mlctl.types.state import Gate, Pending, Record, State, Use
from mlctl.views.graph import Graph, Status, gather
from mlctl.views.html.graph import render
from mlctl.views.html.layout import HEIGHT, WIDTH, arrange
from mlctl.views.human.graph import dot, mermaid

DATA, CHECK, MODEL, SERVER = (Address(*text.split(".")) for text in ("data.a", "checks.a", "models.m", "servers.s"))
INPUT, GATE, ORDER = ({kind} for kind in (EdgeKind.INPUT, EdgeKind.GATE, EdgeKind.ORDER))
EDGES = {DATA: {}, CHECK: {DATA: INPUT}, MODEL: {DATA: INPUT, CHECK: GATE | INPUT}, SERVER: {MODEL: ORDER, CHECK: GATE}}
EVIL = "</script><script>alert(1)</script>&'<img src=x onerror=alert(1)>\u202e`|"


def record(address: Address, number: int, **more: object) -> Record:
    return Record(
        ObjectKey(address, "k"), sequence=number, provenance={"at": "2026-11-01T10:00:00Z", "by": "ann"}, **more
    )  # type: ignore[arg-type]


def ledger(*records: Record) -> Ledger:
    return Ledger(State("l", 1, {item.key: item for item in records}))


def statuses(graph: Graph) -> dict[str, Status]:
    return {str(address): node.status for address, node in graph.nodes.items()}


def told(page: str) -> dict[str, dict[str, object]]:
    (text,) = re.findall(r'<script type="application/json" id="told">(.*?)</script>', page, re.S)
    found: dict[str, dict[str, object]] = json.loads(text)
    return found


def test_the_state_alone_says_what_is_made_unfinished_or_held_back() -> None:
    found = gather(
        EDGES,
        ledger(record(DATA, 1), record(CHECK, 2, gate=Gate(False, "bad")), record(MODEL, 3, pending=Pending.APPLY)),
    )
    assert statuses(found) == {
        "data.a": "ready",
        "checks.a": "gate not passed",
        "models.m": "unfinished",
        "servers.s": "not made",
    }
    assert found.arrows == (
        (CHECK, MODEL, EdgeKind.INPUT), (CHECK, SERVER, EdgeKind.GATE), (DATA, CHECK, EdgeKind.INPUT), (DATA, MODEL, EdgeKind.INPUT),
        (MODEL, SERVER, EdgeKind.ORDER),
    )  # fmt: skip


def test_a_plan_says_what_is_gone_broken_or_running() -> None:
    changes = (
        Change(Action.RUN, ObjectKey(DATA, "k"), Reason.GONE),
        Change(Action.ADOPT, ObjectKey(MODEL, "k"), Reason.RUNNING),
        Change(Action.UPDATE, ObjectKey(SERVER, "k"), Reason.BROKEN),
        Change(Action.DELETE, ObjectKey(CHECK, "old"), Reason.SUPERSEDED),
    )
    made = ledger(*(record(address, number) for number, address in enumerate(EDGES)))
    found = gather(EDGES, made, Plan(changes, "l", 1, "d"))
    assert statuses(found) == {"data.a": "gone", "checks.a": "ready", "models.m": "running", "servers.s": "broken"}
    assert found.nodes[CHECK].change is None, "an older build that goes is not what happens to the resource"


def test_what_the_project_has_no_longer_is_shown_with_what_it_was_made_with() -> None:
    gone = Address("models", "old")
    found = gather({DATA: {}}, ledger(record(DATA, 1), record(gone, 2, uses=(Use(ObjectKey(DATA, "k"), "d"),))))
    assert statuses(found)["models.old"] == "no longer in the project"
    assert found.arrows == ((DATA, gone, EdgeKind.INPUT),)


def test_dot_and_mermaid_carry_statuses_as_classes_and_quote_names() -> None:
    instance = Address("models", 'm["lr=0.1"]')
    found = gather({**EDGES, instance: {DATA: INPUT}}, ledger(record(DATA, 1)))
    text = dot(found)
    assert '"data.a" [class="ready"' in text
    assert '"models.m[\\"lr=0.1\\"]" [class="missing"' in text
    assert '"checks.a" -> "servers.s" [style=dashed];' in text
    text = mermaid(found)
    assert 'n1["data.a"]:::ready' in text
    assert "classDef ready fill:" in text
    assert '"models.m[#quot;lr=0.1#quot;]"' in text
    assert "classDef running" not in text, "only what is used"


class Counter(html.parser.HTMLParser):
    """The elements of a page that could do something, and whether every one that opens also closes."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.opened.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag


def test_a_page_is_one_file_in_which_hostile_text_stays_text() -> None:
    evil = Address("models", f'm["{EVIL}"]')
    made = record(evil, 1, id=EVIL, outputs={EVIL: EVIL, "tree": {"a": [EVIL]}}, gate=Gate(False, EVIL, (EVIL,)))
    change = Change(Action.UPDATE, made.key, Reason.BROKEN, (FieldChange(EVIL, EVIL, EVIL),), EVIL)
    page = render(
        gather({evil: {}}, ledger(made), Plan((change,), "l", 1, "d")), title=EVIL, environment=EVIL, plan=EVIL
    )
    counter = Counter()
    counter.feed(page)
    assert counter.opened == []
    assert [tag for tag, _ in counter.found if tag in ("script", "img", "link", "iframe")] == ["script", "script"]
    assert not any(
        name.startswith("on") or name in ("src", "href") for _, attributes in counter.found for name in attributes
    )
    assert "http" not in re.sub(r'http-equiv="', "", page), "nothing is asked of a network"
    assert "\u202e" not in page
    (address,) = told(page)
    assert [
        attributes["data-address"] for tag, attributes in counter.found if attributes.get("class") == "node broken"
    ] == [address]


def test_the_panel_tells_outputs_gate_provenance_and_plan() -> None:
    made = record(MODEL, 1, outputs={"auc": 0.81}, gate=Gate(False, "auc 0.81 below 0.9", ("slice BR 0.7",)))
    change = Change(Action.RUN, made.key, Reason.SPEC, (FieldChange("epochs", 3, 5, 3),))
    page = render(gather({MODEL: {}}, ledger(made), Plan((change,), "l", 1, "d")), title="p", environment="prod")
    assert told(page)["models.m"]["lists"] == [
        ["Plan", [["action", "> run"], ["because", "the project changed"], ["", "epochs: 3 -> 5"]]],
        ["Gate", [["not passed", "auc 0.81 below 0.9"], ["", "slice BR 0.7"]]],
        ["Outputs", [["auc", "0.81"]]],
        ["Made", [["at", "2026-11-01 10:00:00"], ["by", "ann"], ["identity", "k"]]],
    ]
    assert "0.81" in str(told(page)["models.m"]["text"])


def test_a_secret_is_not_in_the_page() -> None:
    made = record(MODEL, 1, outputs={"url": "https://x?token=canary-1234"})
    page = render(
        gather({MODEL: {}}, ledger(made)), title="p", environment="e",
        hidden=lambda value: json.loads(json.dumps(value).replace("canary-1234", "(sensitive)")),
    )  # fmt: skip
    assert "canary" not in page
    assert "(sensitive)" in page


def test_every_box_is_reached_by_keyboard_and_named_for_a_screen_reader() -> None:
    page = render(gather(EDGES, ledger(record(DATA, 1))), title="p", environment="e")
    counter = Counter()
    counter.feed(page)
    nodes = [attributes for _, attributes in counter.found if str(attributes.get("class", "")).startswith("node ")]
    assert [item["aria-label"] for item in nodes] == [
        "checks.a, not made",
        "data.a, ready",
        "models.m, not made",
        "servers.s, not made",
    ]
    assert all(item["tabindex"] == "0" and item["role"] == "button" for item in nodes)


def test_lines_run_from_left_to_right_and_boxes_do_not_overlap() -> None:
    nodes = {f"{group}{number}": group for group in "abcd" for number in range(6)}
    links = [
        (f"{a}{i}", f"{b}{(i * 7 + j) % 6}") for a, b in ("ab", "bc", "cd", "ad") for i in range(6) for j in (0, 2)
    ]
    found = arrange(nodes, links)
    for (x, y), (other, below) in combinations(found.boxes.values(), 2):
        assert abs(x - other) >= WIDTH or abs(y - below) >= HEIGHT
    for (source, target), points in found.lines.items():
        assert points[0][0] == pytest.approx(found.boxes[source][0] + WIDTH)
        assert points[-1][0] == pytest.approx(found.boxes[target][0])
        assert [x for x, _ in points] == sorted(x for x, _ in points)
        for (x, y), box in ((point, box) for point in points[1:-1] for box in found.boxes.values()):
            assert not (box[0] < x < box[0] + WIDTH and box[1] < y < box[1] + HEIGHT), "a line goes round a box"


def test_a_chain_inside_a_group_and_groups_that_use_each_other_are_layered() -> None:
    nodes = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b"}
    found = arrange(nodes, [("a1", "a3"), ("a1", "a2"), ("a2", "a3"), ("a3", "b1"), ("b1", "b2")])
    assert [sorted(layer) for layer in found.layers] == [["a1"], ["a2"], ["a3"], ["b1"], ["b2"]]
    mixed = arrange({"a1": "a", "a2": "a", "b1": "b"}, [("a1", "b1"), ("b1", "a2")])
    assert [sorted(layer) for layer in mixed.layers] == [["a1"], ["b1"], ["a2"]]


def test_an_order_without_crossings_is_found() -> None:
    nodes = {f"{side}{number}": side for side in "ab" for number in range(8)}
    links = [(f"a{number}", f"b{7 - number}") for number in range(8)]
    boxes = arrange(nodes, links).boxes
    assert all(boxes[source][1] == pytest.approx(boxes[target][1]) for source, target in links)


def test_a_thousand_resources_are_laid_out_in_no_time_without_overlap() -> None:
    nodes = {f"{group}{number}": group for group in "abcd" for number in range(250)}
    links = [(f"{a}{i}", f"{b}{(i * 13) % 250}") for a, b in ("ab", "bc", "cd") for i in range(250)]
    began = time.process_time()
    found = arrange(nodes, links)
    assert time.process_time() - began < 3
    corners = set(found.boxes.values())
    assert len(corners) == 1000
    assert found.width / found.height < 4, "a shape that a screen can show"


def test_nothing_made_and_nothing_asked_for_is_an_empty_page() -> None:
    assert told(render(gather({}, ledger()), title="p", environment="e")) == {}
