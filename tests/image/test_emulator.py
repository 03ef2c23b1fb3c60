"""What the other image tests stand on: how a light is read, and what is done about a start that failed. Needs no Pi."""

import emulator
import loading
import pytest

PATTERNS = {
    "ready": "#" * 20,
    "syncing": "##.." * 5,
    "waiting-for-drive": "#" * 10 + "." * 10,
    "stopped-safely": "#" + "." * 19,
}


def looks(drawing, seconds=4, begin=0.0):
    """Looks at a light that plays the drawing from one slot on; the board's own is always dark."""
    times = [number / 50 for number in range(int(seconds * 50))]
    lit = [drawing[int((at + begin) / emulator.SLOT) % len(drawing)] == "#" for at in times]
    return [(at, light, False) for at, light in zip(times, lit)]


@pytest.mark.parametrize("begin", [0.0, 0.77, 1.93])
@pytest.mark.parametrize("name", PATTERNS)
def test_each_pattern_is_read_from_any_moment_on(name, begin):
    shown, share = emulator.recognise(looks(PATTERNS[name], begin=begin), PATTERNS)
    assert shown == name and share > emulator.AGREES


def test_a_light_that_stands_still_is_no_pattern_that_moves():
    """A Pi that is stalled, or off, has one too."""
    dark = looks("." * 20)
    assert emulator.recognise(dark, PATTERNS) == ("", 0.0)
    # A steady light that went out for a moment is not steady.
    shown, _ = emulator.recognise(looks("#" * 19 + "."), PATTERNS)
    assert shown != "ready"


def test_each_light_is_read_by_itself():
    both = looks(PATTERNS["syncing"])
    assert emulator.recognise(both, PATTERNS, emulator.HEADER)[0] == "syncing"
    assert emulator.recognise(both, PATTERNS, emulator.BOARD)[0] == ""
    swapped = [(at, board, header) for at, header, board in both]
    assert emulator.recognise(swapped, PATTERNS, emulator.BOARD)[0] == "syncing"


class Stub(emulator.Machine):
    """A Pi of which each start says something on the console and ends so."""

    def __init__(self, console, starts):
        # Nothing of a real one is wanted.
        self.console_log, self.console_begins, self.started = console, 0, 0.0
        self.starts, self.cuts, self.mute, self.serial, self.monitor = list(starts), 0, None, None, None
        self.hung = self.no_hub = False

    def sh_status(self, command, timeout=30):
        if self.hung:
            raise emulator.Mute("no answer")
        return int("usb" in command and self.no_hub), ""

    def power_on(self, drives=(), extra="", network=True):
        self.console_begins = self.console_log.stat().st_size if self.console_log.exists() else 0
        said, self.ends = self.starts.pop(0)
        with open(self.console_log, "ab") as log:
            log.write(said)

    def wait_for_shell(self, timeout=90):
        if self.ends:
            raise self.ends
        return 15.0

    def wait_condition(self, name, timeout=60, pin=17, light=emulator.HEADER):
        pass

    def power_cut(self):
        self.cuts += 1


OOPS = b"[   20.1] Internal error: Oops: 805 [#1] SMP ARM\r\n"


@pytest.mark.parametrize("end", [emulator.pexpect.TIMEOUT("no shell"), BrokenPipeError("the emulator is gone")])
def test_a_start_in_which_the_kernel_broke_down_is_made_once_more(tmp_path, capsys, end):
    pi = Stub(tmp_path / "console", [(OOPS, end), (b"larder# ", None)])
    assert pi.start()[0] == 15.0
    assert pi.cuts == 1 and pi.starts == []
    assert "NOTE: " in capsys.readouterr().out


def test_a_start_that_failed_otherwise_has_failed(tmp_path):
    """An earlier start's words do not count."""
    failed = AssertionError("the LED does not show ready")
    pi = Stub(tmp_path / "console", [(OOPS, None), (b"", failed), (b"", None)])
    pi.start()
    with pytest.raises(AssertionError):
        pi.start()
    assert len(pi.starts) == 1 and pi.cuts == 0


def test_a_kernel_that_breaks_down_again_is_no_accident(tmp_path, capsys):
    pi = Stub(tmp_path / "console", [(OOPS, emulator.pexpect.EOF("ended"))] * 3)
    with pytest.raises(emulator.pexpect.EOF):
        pi.start()
    # Said once, and not to whoever reads the summary: this was no Pi.
    assert capsys.readouterr().out.count("NOTE: ") == 1
    assert len(pi.starts) == 1


def test_a_start_that_hung_is_made_once_more_and_tells_what_the_kernel_said(tmp_path, capsys):
    """Seen once in forty starts on a busy build machine: each later test of the file failed with it."""
    dark = AssertionError("the LED does not show ready")
    pi = Stub(tmp_path / "console", [(b"task ls blocked in mmc_blk\r\n", dark), (b"larder# ", None)])
    pi.hung = True
    assert pi.start()[0] == 15.0
    said = capsys.readouterr().out
    assert pi.cuts == 1 and "hung" in said and "blocked in mmc_blk" in said and "does not show ready" in said


def test_a_start_without_usb_is_made_once_more(tmp_path, capsys):
    """Seen once on a busy machine: "dwc2 3f980000.usb: Not connected", and the LED waited for the drive for ever."""
    pi = Stub(tmp_path / "console", [(b"", AssertionError("the LED does not show ready")), (b"", None)])
    pi.no_hub = True
    assert pi.start()[0] == 15.0
    assert pi.cuts == 1 and "USB" in capsys.readouterr().out


def test_a_pi_that_hangs_at_each_start_has_failed(tmp_path):
    dark = AssertionError("the LED does not show ready")
    pi = Stub(tmp_path / "console", [(b"", dark)] * 3)
    pi.hung = True
    with pytest.raises(AssertionError):
        pi.start()
    assert len(pi.starts) == 1


class Deaf:
    """A console on which nothing comes."""

    def __init__(self):
        self.sent, self.keys = [], []

    def send(self, key):
        self.keys.append(key)

    def sendline(self, line):
        self.sent.append(line)

    def expect(self, _pattern, timeout):
        raise emulator.pexpect.TIMEOUT(f"nothing in {timeout} s")

    expect_exact = expect


def test_a_console_that_does_not_answer_is_waited_for_once(tmp_path):
    """A Pi that hung had each later test of its file wait anew: 13 tests took 45 minutes, and nobody saw why."""
    pi = emulator.Machine.__new__(emulator.Machine)
    pi.console_log, pi.console_begins, pi.serial, pi.mute, pi.monitor = tmp_path / "console", 0, Deaf(), None, None
    pi.console_log.write_bytes(b"[   20.1] rcu: self-detected stall\r\n")
    with pytest.raises(emulator.Mute, match="(?s)no answer to `true` .*self-detected stall"):
        pi.sh("true")
    assert len(pi.serial.sent) == 1
    with pytest.raises(emulator.Mute, match="`ls` was not tried: no answer to `true`"):
        pi.sh("ls")
    assert len(pi.serial.sent) == 1, "the console was asked again"


class Breaks:
    """A monitor that counts the breaks it sends."""

    def __init__(self):
        self.sent = 0

    def command(self, execute, **_):
        assert execute == "chardev-send-break"
        self.sent += 1


def test_the_kernel_of_a_pi_that_does_not_answer_is_asked(tmp_path):
    pi = emulator.Machine.__new__(emulator.Machine)
    pi.console_log, pi.console_begins, pi.serial, pi.mute, pi.monitor = tmp_path / "console", 0, Deaf(), None, Breaks()
    pi.console_log.write_bytes(b"larder# ")
    assert pi.emulation_failed() == "kernel hung"
    assert "".join(pi.serial.keys) == emulator.MAGIC_KEYS and pi.monitor.sent == len(emulator.MAGIC_KEYS)


def test_a_start_without_a_shell_tells_what_the_console_said(tmp_path):
    pi = emulator.Machine.__new__(emulator.Machine)
    pi.console_log, pi.console_begins, pi.serial, pi.mute, pi.monitor = tmp_path / "console", 0, Deaf(), None, None
    pi.started = 0.0
    pi.console_log.write_bytes(b"[    1.2] Waiting for root device\r\n")
    with pytest.raises(emulator.Mute, match="(?s)no shell .*Waiting for root device"):
        pi.wait_for_shell()
    with pytest.raises(emulator.Mute, match="no shell"):
        pi.sh("true")


def test_a_range_of_translations_is_forgotten_at_once():
    """Only the one loop changes, and only where it is the one that is known."""
    kernel = b"before" + loading.RANGE_FLUSH + b"after"
    changed = loading.flushing_at_once(kernel)
    assert len(changed) == len(kernel) and changed.startswith(b"before") and changed.endswith(b"after")
    assert [at for at in range(0, 48, 4) if changed[6 + at : 10 + at] != kernel[6 + at : 10 + at]] == [20, 32]
    for other in (b"a 64-bit one", kernel + kernel):
        assert loading.flushing_at_once(other) == other


def test_the_cards_kernel_has_that_loop(image, tmp_path):
    """Else each start takes twice as long, and stalls for up to a minute on a busy machine."""
    packed = image.parent / "boot/kernel7.img"
    kernel = loading.unpacked_kernel(packed, tmp_path)
    if kernel == packed:
        pytest.skip("this card's kernel is not packed by xz: it unpacks itself, and keeps its loop")
    assert loading.RANGE_FLUSH not in (data := kernel.read_bytes())
    assert loading.flushing_at_once(loading.RANGE_FLUSH) in data
