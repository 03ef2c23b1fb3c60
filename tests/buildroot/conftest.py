"""Hooks of the Buildroot tests: which trees they run on, and a loud word on what was skipped."""

import pytest
from external_tree import given


def pytest_terminal_summary(terminalreporter):
    reasons = sorted({str(r.longrepr[2]).removeprefix("Skipped: ") for r in terminalreporter.stats.get("skipped", [])})
    for reason in reasons:
        terminalreporter.write_line(f"NOT CHECKED: {reason}", yellow=True, bold=True)


def pytest_generate_tests(metafunc):
    if "buildroot" in metafunc.fixturenames:
        reason = f"BUILDROOT= is not given: {metafunc.module.WHAT}"
        params = [pytest.param(p, id=p.name) for p in given("BUILDROOT")]
        none = [pytest.param(None, id="none", marks=pytest.mark.skip(reason=reason))]
        metafunc.parametrize("buildroot", params or none, scope="module")
