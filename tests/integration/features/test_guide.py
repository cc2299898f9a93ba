"""The guide on features: its project is valid, and its function does what its block says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "features.md"
FILES = {
    "purchases.csv": "purchase_id,household_id,product_id,price,pieces,discount,promo,status,bought_at\n"
    "1,1,p1,2.5,2,0.5,1,sold,2024-01-01 10:00:00\n2,2,p1,4.0,1,0,0,returned,2024-01-02 11:00:00\n",
    "scores.csv": "household_id,credit,left_over,known_at\n1,0.5,100,2024-01-01 00:00:00\n",
    "visits.csv": "household_id,product_id,at,basket_value,accepted\n1,p1,2024-01-03 00:00:00,9.5,1\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    text = GUIDE.read_text()
    [yaml] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "basket.py").write_text(code)
    (tmp_path / "mlctl.yaml").write_text(yaml)
    for name, rows in FILES.items():
        (tmp_path / name).write_text(rows)
    return tmp_path


def mlctl(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("mlctl")), *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_the_project_of_the_guide_is_valid(project: Path) -> None:
    done = mlctl(project, "validate")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


@pytest.mark.tools
def test_all_features_of_the_guide_can_be_made(project: Path) -> None:
    done = mlctl(project, "apply", "--auto-approve", "--target", "feature_services.offer")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("basket_value, spent_7d", "basket_value, spent_8d", "spent_8d"),
        ("views: [spending, affinity]", "views: [spending, affinity, risk]", "no feature of `risk`"),
        ("promo_share, credit]", "promo_share, kredit]", "kredit"),
        ("features: {credit: {}", "features: {credit: {window: 7d}", "`window` has no effect"),
    ],
)
def test_a_mistake_in_it_is_found_before_anything_runs(project: Path, old: str, new: str, said: str) -> None:
    for path in (project / "mlctl.yaml", project / "src" / "basket.py"):
        path.write_text(path.read_text().replace(old, new))
    done = mlctl(project, "validate")
    assert done.returncode == 1
    assert said in done.stdout + done.stderr
