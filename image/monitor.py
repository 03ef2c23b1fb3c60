"""The emulator's monitor, by which drives are plugged in and pulled and the pins are read."""

import contextlib
import json
import socket


class Monitor:
    """The emulator's monitor (QMP)."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.stream = self.socket.makefile("rw")
        self.stream.readline()
        self.command("qmp_capabilities")

    def command(self, execute, **arguments):
        """One command and its answer."""
        self.stream.write(json.dumps({"execute": execute, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            line = self.stream.readline()
            if not line:
                raise ConnectionError(f"the emulator ended during {execute}")
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"{execute}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def close(self):
        # Of an emulator that ended by itself, unsent words may be left.
        with contextlib.suppress(OSError):
            self.stream.close()
        self.socket.close()
