"""What people may vouch for: each check of the ML Test Score."""

from __future__ import annotations

from mlctl.audit.maturity import data, infrastructure, model, monitoring

ATTESTABLE = frozenset(check.name for section in (data, model, infrastructure, monitoring) for check in section.CHECKS)
