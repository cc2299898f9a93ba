"""Can prompts of now be told from those of before, and by which words? Texts become hashed TF-IDF, then few columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from mlctl.runtime.monitor.classifier import domain_classifier
from mlctl.stats.comparison import Comparison
from mlctl.types.jobs.reference import Encoding, NumberCode

_SEED = 20_261_122
_HASHED, _COLUMNS, _CHARACTERS = 4096, 24, 2000
_WORD = re.compile(r"(?u)\b[^\W\d_]{3,}\b")
_NAMED, _LEAST_PROMPTS = 6, 5


def told_apart(before: Sequence[str], now: Sequence[str]) -> tuple[Comparison, list[str]]:
    """The domain classifier's finding, and the words that came up. The columns are learnt from both sides together, without
    saying which text is of which: so without drift the two sides stay exchangeable."""
    import numpy as np
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    texts = [text[:_CHARACTERS] for text in (*before, *now)]
    hashed = HashingVectorizer(n_features=_HASHED, alternate_sign=False, norm=None).transform(texts)
    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(hashed)
    columns = TruncatedSVD(_COLUMNS, random_state=_SEED).fit_transform(weighted).astype(np.float32)
    encoding = Encoding(codes=[NumberCode(name=str(index), mean=0.0, std=1.0) for index in range(_COLUMNS)])
    found, _ = domain_classifier(encoding, columns[: len(before)], columns[len(before) :])
    return found, _risen(before, now)


def _risen(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """The words whose share of the prompts rose most; words of very few prompts may name somebody, and are not told."""
    shares = []
    for texts in (before, now):
        counts = Counter(
            word for text in texts for word in {item.lower() for item in _WORD.findall(text[:_CHARACTERS])}
        )
        shares.append((counts, len(texts)))
    (old, many_old), (new, many_new) = shares
    risen = {word: count / many_new - old[word] / many_old for word, count in new.items() if count >= _LEAST_PROMPTS}
    order = sorted(risen, key=lambda word: (-risen[word], word))
    return [word for word in order[:_NAMED] if risen[word] > 0]
