"""What follows an alarm: done once or made up for, under one id, with no secret anywhere, and never the end of a run."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlctl.files import decisions
from mlctl.provider import Context
from mlctl.providers.evidently import actions
from mlctl.providers.evidently.monitor import RUNS_FOLDER
from mlctl.providers.evidently.run import MonitorResult
from mlctl.testing.harness import make_context
from mlctl.types.address import Address, ObjectKey
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.secret import Secrets
from mlctl.types.state import Record

UNTIL = "2026-05-10T12:00:00+00:00"
ALARM = {"part": "data", "name": "age", "says": "age moved", "method": "ks", "impact": None}
CANARY = "canary-path-0123456789"


class Hook:
    """A server that takes alarms: it answers by `answers`, the last one for ever."""

    def __init__(self, *answers: int, seconds: float = 0.0) -> None:
        self.answers, self.seconds = list(answers) or [200], seconds
        self.taken: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.taken.append(json.loads(body))
                outer.headers.append(dict(self.headers.items()))
                time.sleep(outer.seconds)
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                self.send_response(answer)
                if answer == 302:
                    self.send_header("location", f"http://127.0.0.1:{self.server.server_address[1]}/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/{CANARY}"


@contextmanager
def listening(*answers: int, seconds: float = 0.0) -> Iterator[Hook]:
    hook = Hook(*answers, seconds=seconds)
    thread = threading.Thread(target=hook.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        hook.server.shutdown()
        hook.server.server_close()
        thread.join()


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return replace(make_context(tmp_path), secrets=Secrets({"env.HOOK_WEBHOOK": "nothing-yet"}, b"key"))


def knowing(ctx: Context, url: str) -> Context:
    return replace(ctx, secrets=Secrets({"env.HOOK_WEBHOOK": url}, b"key"))


def monitor(ctx: Context, **on_alarm: Any) -> Record:
    """A record as the state keeps it: secrets are sealed."""
    outputs = {"deployment": "api", "predictions": "log", "parts": {}, "files": {}}
    spec = ctx.secrets.masked({"on_alarm": on_alarm}) if on_alarm else {}
    return Record(ObjectKey(Address("monitors", "m"), ""), outputs=outputs, spec=spec)


def webhook(url: str, **more: Any) -> dict[str, Any]:
    return {"webhook": {"url": url, "headers": {}, "timeout": "1s", "retries": 0, **more}}


def ran(
    ctx: Context, record: Record, run: str = "20260510T120000.000000Z", *, verdict: str = "alarm", acts: bool = True
) -> MonitorResult:
    """A run as the worker leaves it."""
    folder = ctx.folder(record.key) / RUNS_FOLDER / run
    folder.mkdir(parents=True)
    job = {
        "program": "monitor",
        "params": {"monitor": "m", "predictions": "log", "until": UNTIL, "parts": {}, "acts": acts},
    }
    outputs: dict[str, Any] = {
        "verdict": verdict, "summary": "age drifted", "alarms": [ALARM] if verdict == "alarm" else [], "digest": [],
        "parts": {}, "until": UNTIL, "report": None, "seconds": 0.1,
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job))
    (folder / "result.json").write_text(json.dumps(JobResult(JobStatus.DONE, outputs).to_json()))
    return MonitorResult("m", run, outputs)


def draw(record: Record, ctx: Context, path: Path) -> None:
    path.write_text("drawn")


def settle(record: Record, result: MonitorResult, ctx: Context) -> actions.Taken:
    return actions.settle(record, result, ctx, "me@here", draw)


def test_an_alarm_is_told_written_drawn_and_decided_once(ctx: Context) -> None:
    with listening() as hook:
        ctx = knowing(ctx, hook.url)
        record = monitor(ctx, file="out/alarms.jsonl", report=True, retrain="training.t", **webhook(hook.url))
        result = ran(ctx, record)
        taken, again = settle(record, result, ctx), settle(record, result, ctx)
    assert taken.done == again.done
    assert not taken.warnings
    assert [body["id"] for body in hook.taken] == [taken.done["id"]]
    assert hook.headers[0]["Idempotency-Key"] == taken.done["id"]
    assert hook.taken[0]["alarms"] == [ALARM]
    lines = (ctx.root / "out" / "alarms.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [taken.done["id"]]
    assert (ctx.root / str(taken.done["report"])).read_text() == "drawn"
    (kept,) = decisions.kept(ctx.home)
    assert (kept.kind, kept.address, kept.verdict, kept.id) == (
        "monitor",
        "monitors.m",
        "alarm",
        taken.done["decision"],
    )
    assert kept.outputs["actions"]["retrain"] == "training.t"
    assert kept.outputs["actions"]["webhook"]["delivered"] is True


def test_the_address_of_a_webhook_is_in_no_file_that_is_kept(ctx: Context) -> None:
    with listening(500) as hook:
        ctx = knowing(ctx, hook.url)
        record = monitor(ctx, file="alarms.jsonl", **webhook(hook.url))
        assert CANARY not in json.dumps(record.spec)
        taken = settle(record, ran(ctx, record), ctx)
    assert CANARY not in str(taken)
    for path in ctx.root.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("answers", [(503, 503, 200), (429, 200)], ids=["down twice", "too many"])
def test_a_webhook_is_tried_again(ctx: Context, answers: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlctl.providers.evidently.webhook._FIRST_PAUSE_SECONDS", 0.001)
    with listening(*answers) as hook:
        ctx = knowing(ctx, hook.url)
        taken = settle(record := monitor(ctx, **webhook(hook.url, retries=3)), ran(ctx, record), ctx)
    assert taken.done["webhook"] == {"delivered": True, "tries": len(answers), "status": 200, "error": ""}
    assert len({body["id"] for body in hook.taken}) == 1


def test_who_refuses_is_not_asked_again_and_no_redirection_is_followed(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlctl.providers.evidently.webhook._FIRST_PAUSE_SECONDS", 0.001)
    for answer in (403, 302):
        with listening(answer) as hook:
            known = knowing(ctx, hook.url)
            record = monitor(known, **webhook(hook.url, retries=3))
            taken = settle(record, ran(known, record, run=f"20260510T12000{answer}.000000Z"), known)
        assert (taken.done["webhook"]["delivered"], taken.done["webhook"]["status"], len(hook.taken)) == (
            False,
            answer,
            1 if answer == 403 else 4,
        )


@pytest.mark.parametrize("kind", ["down", "slow"])
def test_a_webhook_that_is_away_is_a_warning_and_is_told_later_under_the_same_id(ctx: Context, kind: str) -> None:
    with listening(200, seconds=0.3 if kind == "slow" else 0.0) as hook:
        url = hook.url
        if kind == "slow":
            ctx = knowing(ctx, url)
            record = monitor(ctx, **webhook(url, timeout="100ms"))
            first = settle(record, ran(ctx, record), ctx)
    if kind == "down":
        ctx = knowing(ctx, url)
        record = monitor(ctx, **webhook(url))
        first = settle(record, ran(ctx, record), ctx)
    assert [item.code for item in first.warnings] == ["monitor.webhook-failed"]
    assert first.done["webhook"]["delivered"] is False
    assert first.done["decision"]  # the decision does not wait for who is away
    assert actions.make_up(record, ctx, "me", draw, but="20260510T120000.000000Z") == []  # it was just seen to
    with listening() as other:
        known = knowing(ctx, other.url)
        made = actions.make_up(monitor(known, **webhook(other.url)), known, "me", draw)
        assert actions.make_up(monitor(known, **webhook(other.url)), known, "me", draw) == []
    assert [(run, taken.done["webhook"]["delivered"]) for run, taken in made] == [("20260510T120000.000000Z", True)]
    assert [body["id"] for body in other.taken] == [first.done["id"]]
    assert len(list(decisions.kept(ctx.home))) == 1


def test_a_secret_that_is_not_set_is_told_and_nothing_is_sent(ctx: Context) -> None:
    url = f"http://127.0.0.1:9/{CANARY}"
    record = monitor(knowing(ctx, url), **webhook(url))
    taken = settle(record, ran(ctx, record), replace(ctx, secrets=Secrets({}, b"key")))
    assert taken.done["webhook"]["error"] == "`env.HOOK_WEBHOOK` is not set"


def test_what_a_kill_left_undone_is_made_up_for_without_a_second_decision(ctx: Context) -> None:
    record = monitor(ctx, file="alarms.jsonl", retrain="training.t")
    result = ran(ctx, record)
    taken = settle(record, result, ctx)
    noted = ctx.folder(record.key) / RUNS_FOLDER / result.run / actions.ACTIONS_FILE
    noted.write_text(json.dumps({name: value for name, value in taken.done.items() if name != "decision"}))
    ((_, again),) = actions.make_up(record, ctx, "me", draw)
    assert again.done["decision"] == taken.done["decision"]
    noted.unlink()  # killed before anything was noted: the line comes twice, under one id
    actions.make_up(record, ctx, "me", draw)
    lines = [json.loads(line)["id"] for line in (ctx.root / "alarms.jsonl").read_text().splitlines()]
    assert lines == [taken.done["id"]] * 2
    assert len(list(decisions.kept(ctx.home))) == 1


@pytest.mark.parametrize(("verdict", "acts"), [("ok", True), ("no_data", True), ("alarm", False)])
def test_nothing_follows_without_an_alarm_or_when_only_looking(ctx: Context, verdict: str, acts: bool) -> None:
    record = monitor(ctx, file="alarms.jsonl", retrain="training.t")
    taken = settle(record, ran(ctx, record, verdict=verdict, acts=acts), ctx)
    assert not (ctx.root / "alarms.jsonl").exists()
    (kept,) = decisions.kept(ctx.home)
    assert kept.verdict == verdict
    assert "retrain" not in kept.outputs["actions"]
    assert taken.done["decision"] == kept.id


def test_a_file_or_a_ledger_that_cannot_be_written_is_a_warning_and_the_rest_is_done(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ctx.root / "taken").write_text("a file where a folder is wanted")
    record = monitor(ctx, file="taken/alarms.jsonl", report=True)
    result = ran(ctx, record)

    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(decisions, "keep", full)
        taken = settle(record, result, ctx)
    assert [item.code for item in taken.warnings] == ["monitor.file-refused", "monitor.not-kept"]
    assert taken.done["report"]
    (ctx.root / "taken").unlink()
    ((_, again),) = actions.make_up(record, ctx, "me", draw)
    assert (again.done["file"], bool(again.done["decision"])) == ("taken/alarms.jsonl", True)


def test_a_line_that_a_kill_left_torn_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    path = tmp_path / "alarms.jsonl"
    actions.append(path, {"id": 1})
    path.write_bytes(path.read_bytes() + b'{"id": 2, "al')
    actions.append(path, {"id": 3})
    lines = path.read_text().splitlines()
    assert [lines[0], lines[2]] == ['{"id": 1}', '{"id": 3}']
    assert path.stat().st_mode & 0o077 == 0
