"""The page of a monitor, from its first run on."""

from mlctl.providers.evidently.trend import Point, Series
from mlctl.views.html.monitor import render


def page(runs: int) -> str:
    points = tuple(Point(f"r{n}", f"2026-11-0{n + 1}T10:00:00Z", "alarm", 0.4, 0.1) for n in range(runs))
    outputs = [{"run": point.run, "verdict": "alarm", "summary": "spent moved"} for point in points]
    return render("monitors.drift", outputs, [Series("data", "spent", "psi", points)])


def test_the_margin_is_drawn_from_the_first_run_on() -> None:
    for runs in (1, 2):
        assert page(runs).count("<polyline fill='none' stroke='currentColor' stroke-dasharray") == 1


def test_one_is_told_as_one() -> None:
    assert "1 run: 1 alarm" in page(1)
    assert "psi: 1 alarm in 1 run<" in page(1)
    assert "psi: 2 alarms in 2 runs<" in page(2)
