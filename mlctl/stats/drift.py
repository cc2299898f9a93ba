"""Has a distribution moved, by how much, and how surely: two-sample tests whose p-values hold, and the decision over many.

Every test says two things, a p-value and an effect in the method's own unit, because each alone misleads: p-values call any
trifle drift when rows abound, and fixed thresholds on an effect call noise drift when rows are few. An alarm needs both,
after the p-values have been adjusted for how many tests were made. What no such test can see: a change of the outcome given
the features (concept drift). A change of how features go together needs a test of all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mlctl.stats.comparison import Comparison as Comparison
from mlctl.stats.drift_classes import chi_square as chi_square
from mlctl.stats.drift_classes import counts as counts
from mlctl.stats.drift_classes import cuts as cuts
from mlctl.stats.drift_classes import jensen_shannon as jensen_shannon
from mlctl.stats.drift_classes import psi as psi
from mlctl.stats.drift_numbers import ks as ks
from mlctl.stats.drift_numbers import wasserstein as wasserstein
from mlctl.stats.multiple import adjust


class Method(StrEnum):
    """The tests.

    Of a column: `ks` and `wasserstein` are for numbers, `chi_square` for categories, `psi` and `jensen_shannon` for both.
    The others look at all features together.
    """

    KS = "ks"
    PSI = "psi"
    WASSERSTEIN = "wasserstein"
    CHI_SQUARE = "chi_square"
    JENSEN_SHANNON = "jensen_shannon"
    DOMAIN_CLASSIFIER = "domain_classifier"
    PCA = "pca"
    AUTOENCODER = "autoencoder"


NUMERIC = (Method.KS, Method.PSI, Method.WASSERSTEIN, Method.JENSEN_SHANNON)
CATEGORICAL = (Method.PSI, Method.CHI_SQUARE, Method.JENSEN_SHANNON)
TOGETHER = (Method.DOMAIN_CLASSIFIER, Method.PCA, Method.AUTOENCODER)

# The least effect worth an alarm: D (largest gap between the distribution functions), PSI (0.1 watch, 0.25 act), distance in
# standard deviations, the share of rows that changed class, the Jensen-Shannon distance, the area under the ROC curve of
# telling the two apart (0.5 is not at all), and D of the reconstruction errors. A shift of a tenth of a standard deviation is
# found by half of that: a margin that is as large as what is looked for finds it every other time, however many rows there are.
MARGINS: Mapping[Method, float] = {
    Method.KS: 0.05,
    Method.PSI: 0.1,
    Method.WASSERSTEIN: 0.05,
    Method.CHI_SQUARE: 0.05,
    Method.JENSEN_SHANNON: 0.1,
    Method.DOMAIN_CLASSIFIER: 0.55,
    Method.PCA: 0.1,
    Method.AUTOENCODER: 0.1,
}


class Verdict(StrEnum):
    """What is made of a test, a column or a whole run. No data is never ok."""

    ALARM = "alarm"
    OK = "ok"
    NO_DATA = "no_data"


@dataclass(frozen=True, slots=True)
class Finding:
    """One test of one column after the decision; the figures are None when there was too little data to make it."""

    column: str
    method: Method
    rows: int
    verdict: Verdict
    margin: float
    effect: float | None = None
    statistic: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    reference_rows: int | None = None


def decide(
    tests: Sequence[tuple[str, Method, Comparison]],
    alpha: float,
    correction: str,
    margins: Mapping[Method, float],
    min_rows: int,
) -> list[Finding]:
    """Alarm where the adjusted p-value is below alpha and the effect reaches its margin. Tests on fewer than `min_rows` rows are not made."""
    made = [(column, method, found) for column, method, found in tests if found.rows >= min_rows]
    adjusted = iter(adjust([found.p_value for _, _, found in made], correction))
    findings = []
    for column, method, found in tests:
        if found.rows < min_rows:
            findings.append(Finding(column, method, found.rows, Verdict.NO_DATA, margins[method]))
            continue
        p = next(adjusted)
        verdict = Verdict.ALARM if p < alpha and found.effect >= margins[method] else Verdict.OK
        findings.append(
            Finding(
                column,
                method,
                found.rows,
                verdict,
                margins[method],
                found.effect,
                found.statistic,
                found.p_value,
                p,
                found.reference_rows,
            )
        )
    return findings


def column_verdicts(findings: Sequence[Finding]) -> dict[str, Verdict]:
    """A column alarms when any of its tests does, and lacks data when none could be made."""
    verdicts: dict[str, Verdict] = {}
    for found in findings:
        seen = {verdicts.get(found.column, Verdict.NO_DATA), found.verdict}
        verdicts[found.column] = next(item for item in Verdict if item in seen)
    return verdicts


def overall(columns: Mapping[str, Verdict]) -> Verdict:
    """A run alarms when any column does, and is ok only when every column is."""
    if Verdict.ALARM in columns.values():
        return Verdict.ALARM
    return Verdict.OK if columns and all(item is Verdict.OK for item in columns.values()) else Verdict.NO_DATA
