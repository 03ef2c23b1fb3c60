"""The image tests: the card on an emulated Pi, with drives plugged in, pulled and damaged.

Whichever image IMAGE names, or the newest under build/image, is tested. A boot takes the better part of a minute, so
the checks of one file share a machine and run in their order: each leaves it as its docstring says.
On a machine with other work to do, LARDER_SLOW=3 triples every waiting time.
"""

import pathlib
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "image"))

import emulator  # noqa: E402
import sdcard  # noqa: E402


@pytest.fixture(scope="session")
def image():
    return emulator.newest_image()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pi")


@pytest.fixture(scope="module")
def bits():
    """Of the kernel."""
    return 32


@pytest.fixture(scope="module")
def machine(image, folder, request, bits):
    """A machine that is off; the console's log goes to build/image-tests/."""
    logs = TOP / "build/image-tests"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / (request.module.__name__ + ".console")
    log.unlink(missing_ok=True)
    card = sdcard.Card(image, folder / "card.img")
    with emulator.Machine(card, image, folder, log, bits) as pi:
        yield pi


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows what the appliance said last."""
    outcome = yield
    report = outcome.get_result()
    pi = item.funcargs.get("machine") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and pi is not None and pi.serial is not None:
        try:
            report.sections.append(("the appliance's log", pi.sh("logread | tail -n 60", 20)))
        except Exception as why:  # the console may be the very thing that failed
            report.sections.append(("the appliance's log", f"not to be had: {why!r}"))


def pytest_terminal_summary(terminalreporter):
    """What the tests measured and noted, in one place."""
    for report in terminalreporter.stats.get("passed", []):
        for line in report.capstdout.splitlines():
            if line.startswith(("FIGURE: ", "NOTE: ")):
                terminalreporter.write_line(f"{report.nodeid.rsplit('::', 1)[-1]}: {line.removeprefix('FIGURE: ')}")
