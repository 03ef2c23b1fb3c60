"""A device of the family on this machine: a real Syncthing that knows the Larder by its address and id alone."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as xml

import emulator

TOP = pathlib.Path(__file__).resolve().parents[2]


class Laptop:
    """Use as a context: its Syncthing ends with it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.home = self.folder / "syncthing"
        self.key = "laptop-" + os.urandom(12).hex()
        self.port = emulator.free_port()
        self.process = None
        found = subprocess.run([TOP / "tests/sync/get-syncthing"], check=True, stdout=subprocess.PIPE, text=True)
        self.program = found.stdout.splitlines()[-1]
        self.environment = {**os.environ, "STNODEFAULTFOLDER": "1", "STNOUPGRADE": "1", "HOME": str(self.folder)}
        self._run("generate", "--home", self.home)
        self.id = self._configure()

    def _run(self, *words):
        subprocess.run([self.program, *map(str, words)], check=True, capture_output=True, env=self.environment)

    def _configure(self):
        """Loopback only, no discovery; its own id."""
        path = self.home / "config.xml"
        tree = xml.parse(path)
        root = tree.getroot()
        gui = root.find("gui")
        gui.find("address").text = f"127.0.0.1:{self.port}"
        gui.find("apikey").text = self.key
        options = root.find("options")
        for option in ("globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled", "startBrowser",
                       "crashReportingEnabled"):
            options.find(option).text = "false"
        options.find("urAccepted").text = "-1"
        options.find("reconnectionIntervalS").text = "5"
        for address in options.findall("listenAddress")[1:]:
            options.remove(address)
        options.find("listenAddress").text = f"tcp://127.0.0.1:{emulator.free_port()}"
        tree.write(path)
        return root.find("device").get("id")

    def __enter__(self):
        log = open(self.folder / "syncthing.log", "wb")
        self.process = subprocess.Popen(
            [self.program, "serve", "--home", str(self.home), "--no-browser", "--no-restart"],
            env=self.environment, stdout=log, stderr=log, start_new_session=True,
        )
        log.close()
        end = time.monotonic() + 60 * emulator.slow()
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                assert self.ask("system/status")["myID"] == self.id
                return self
            assert self.process.poll() is None and time.monotonic() < end, "the laptop's Syncthing does not answer"
            time.sleep(0.2)

    def __exit__(self, *_):
        # It runs itself once more below itself, in a group of its own: only it can end both.
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self.ask("system/shutdown", {})
            self.process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ask(self, path, send=None):
        """A question to its REST interface, or with `send` something to be taken over."""
        data = None if send is None else json.dumps(send).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/rest/{path}", data, {"X-API-Key": self.key})
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def add(self, device, address):
        """As its owner does: the Larder's id, from STATUS.txt."""
        self.ask("config/devices", {"deviceID": device, "name": "Larder", "addresses": [address]})

    def accept(self, device):
        """Takes every folder that the Larder offers, into the place that its label names."""
        for name, folder in (self.ask("cluster/pending/folders") or {}).items():
            label = folder["offeredBy"][device]["label"]
            place = self.folder / label
            self.ask("config/folders", {"id": name, "label": label, "path": str(place), "type": "sendreceive",
                                        "fsWatcherDelayS": 1, "devices": [{"deviceID": device}]})
