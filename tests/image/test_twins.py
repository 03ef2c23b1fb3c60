"""Two Larders in one network, each with its own card, drive and network card: the second is larder-2, says so wherever it
names its address, and answers to no name that is the other's. Two Pis at a time, in this order."""

import http.client
import pathlib

import drives
import emulator
import pytest
import sdcard
import written

TOP = pathlib.Path(__file__).resolve().parents[2]
PASSWORD = '[web]\npassword = "open sesame"\n'
SETTINGS = f"[devices.HTCphone]\n\n{PASSWORD}"
# Misdirected Request (RFC 9110, 15.5.20).
NOT_MINE = 421
# Sign in first.
DOOR = 401


@pytest.fixture(scope="module")
def pair(image, tmp_path_factory):
    """Two Pis that are off."""
    logs = TOP / "build/image-tests"
    logs.mkdir(parents=True, exist_ok=True)
    wire, pis = emulator.Wire(), []
    try:
        for number in (1, 2):
            folder = tmp_path_factory.mktemp(f"pi{number}")
            log = logs / f"test_twins-{number}.console"
            log.unlink(missing_ok=True)
            card = sdcard.Card(image, folder / "card.img")
            card.write("larder.toml", SETTINGS)
            pis.append(emulator.Machine(card, image, folder, log, wire=wire))
        yield pis
    finally:
        for pi in pis:
            pi.kill()


@pytest.fixture(scope="module")
def first(pair):
    return pair[0]


@pytest.fixture(scope="module")
def second(pair):
    return pair[1]


def drive_of(machine, serial):
    tree = machine.folder / "tree"
    drives.family_tree(tree)
    return drives.make_drive(machine.folder / "family.img", serial, tree=tree)


def running(machine, name):
    """Whether the responder has that name, and the kernel as well."""
    return f"running [{name}.local]" in machine.sh("ps") and machine.sh("hostname").strip() == name


def answer(machine, host):
    """What the page answers to somebody who calls it so: the status."""
    asked = http.client.HTTPConnection("127.0.0.1", machine.page_port, timeout=30 * emulator.slow())
    try:
        asked.request("GET", "/", headers={"Host": host})
        return asked.getresponse().status
    except OSError as why:
        return why
    finally:
        asked.close()


def follows(machine, name, gone):
    """STATUS.txt and the phone's page name this address and the other one no more."""
    text = machine.wait("STATUS.txt", lambda: written.status(machine, f"http://{name}.local:8080"), 90, 3)
    assert f"http://{gone}.local" not in text
    page = "/drive/BTsync/catalogue/HTCphone/catalogue.html"
    there = f"grep -q 'http://{name}[.]local:8080' {page}"
    machine.wait("the phone's page", lambda: machine.sh_status(there)[0] == 0, 60, 2)
    assert machine.sh_status(f"grep -q 'http://{gone}[.]local' {page}")[0] != 0


def test_the_first_is_larder(first):
    """Leaves it ready, with a router."""
    first.start([drive_of(first, "FAMILY001")], "ready", 180)
    first.wait("an address", lambda: "inet 10.0.2.15/" in first.sh("ip -4 addr"), 60)
    first.wait("its name", lambda: running(first, "larder"), 60)
    follows(first, "larder", "larder-2")


def test_alone_the_second_is_larder_too(second):
    """Its cable leads to nobody yet. Leaves it ready."""
    second.start([drive_of(second, "FAMILY002")], "ready", 180, network=False)
    second.wait("its name", lambda: running(second, "larder"), 60)
    follows(second, "larder", "larder-2")


def test_in_one_network_the_second_is_larder_2(first, second):
    """Its cable is in when it is switched on again; the other one was there before."""
    plugged = [drive for drive, _ in second.plugged.values()]
    second.power_off()
    second.start(plugged, "ready", 180)
    cards = [pi.sh("cat /sys/class/net/[eu]*/address", check=True) for pi in (first, second)]
    assert cards[0] != cards[1]
    address = emulator.Wire.SECOND_ADDRESS
    second.wait("an address", lambda: f"inet {address}/" in second.sh("ip -4 addr"), 120)
    second.wait("the next free name", lambda: running(second, "larder-2"), 120)
    follows(second, "larder-2", "larder")
    assert running(first, "larder"), "the one that was there first keeps it"


def test_each_answers_to_its_own_name_alone(first, second):
    assert answer(first, "larder.local:8080") == DOOR
    assert answer(first, "larder-2.local:8080") == NOT_MINE
    assert answer(second, "larder-2.local:8080") == DOOR
    assert answer(second, "larder-2") == DOOR
    assert answer(second, f"{emulator.Wire.SECOND_ADDRESS}:8080") == DOOR
    assert answer(second, "larder.local:8080") == NOT_MINE
    assert answer(second, "larder") == NOT_MINE


def test_the_router_is_told_the_same_name(second):
    """It was asked anew for that, without the address going meanwhile."""
    client = "/proc/$(cat /run/larder/network/usb0.pid)/cmdline"
    second.wait("DHCP with the name", lambda: second.sh_status(f"grep -q hostname:larder-2 {client}")[0] == 0, 30, 1)
    assert f"inet {emulator.Wire.SECOND_ADDRESS}/" in second.sh("ip -4 addr")
    assert running(second, "larder-2")


def test_a_responder_that_breaks_down_comes_back_with_the_same_name(second):
    second.sh("kill -9 $(cat /run/avahi-daemon/pid)", check=True)
    second.wait("it is begun anew", lambda: running(second, "larder-2"), 90)
    assert answer(second, "larder.local:8080") == NOT_MINE


def test_the_owner_calls_it_attic(second):
    """In the settings, while it runs."""
    settings = f'{SETTINGS}\n[nas]\nhostname = "attic"\n'.replace("\n", "\\n").replace('"', '\\"')
    second.sh(f"mount -o remount,rw /boot && printf \"{settings}\" >/boot/larder.toml && mount -o remount,ro /boot", check=True)
    second.wait("the new name", lambda: running(second, "attic"), 90)
    follows(second, "attic", "larder-2")
    assert answer(second, "attic.local:8080") == DOOR
    assert answer(second, "larder-2.local:8080") == NOT_MINE


def test_it_is_attic_from_the_start(first, second):
    """Nobody has that name, so it is the first one that it tries. The other one is never disturbed."""
    plugged = [drive for drive, _ in second.plugged.values()]
    second.power_off()
    second.start(plugged, "ready", 180)
    assert second.sh("hostname").strip() == "attic"
    second.wait("its name", lambda: running(second, "attic"), 90)
    second.wait("an address", lambda: "inet 10.0.2." in second.sh("ip -4 addr"), 120)
    assert running(second, "attic") and running(first, "larder")
    assert answer(first, "larder.local:8080") == DOOR
