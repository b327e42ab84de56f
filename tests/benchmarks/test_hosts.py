import socket
import subprocess
import sys

import pytest
from rich.console import Console

from benchmarks.hosts import Network, run

pytestmark = pytest.mark.skipif(bool(Network.missing()), reason=Network.missing() or "-")

CONNECT = """
import socket, sys
socket.create_connection((sys.argv[1], 5000), float(sys.argv[2]))
print(socket.gethostname())
"""
LISTEN = """
import socket
server = socket.create_server(("", 5000))
print("ready", flush=True)
while True:
    server.accept()
"""


def test_a_host_is_reached_until_its_link_is_down() -> None:
    with Network(("one", "two")) as network:
        listening = subprocess.Popen(
            network.on("one", sys.executable, "-c", LISTEN), stdout=subprocess.PIPE, text=True
        )
        try:
            assert listening.stdout is not None
            assert listening.stdout.readline() == "ready\n"

            def connect(within: float = 30) -> subprocess.CompletedProcess[str]:
                command = [sys.executable, "-c", CONNECT, network.address("one"), str(within)]
                return subprocess.run(
                    network.on("two", *command), capture_output=True, text=True, check=False
                )

            assert connect().stdout == "two\n"
            network.cut("two")
            assert connect(within=1).returncode != 0
            network.mend("two")
            assert connect().stdout == "two\n"
        finally:
            listening.kill()
            listening.communicate()
    assert socket.gethostname() not in {"one", "two"}
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    assert network._prefix not in left.stdout


@pytest.mark.e2e
def test_a_host_that_is_cut_off_does_no_harm() -> None:
    assert run(2, 12, 30_000, Console(quiet=True)) == []
