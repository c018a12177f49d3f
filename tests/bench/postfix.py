"""A Postfix of our own as a null relay: its own folder, a port on loopback, one upstream, nothing local.

Needs Debian's or anybody's Postfix installed and root, as Postfix's master does; `missing()` says what lacks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

STOCK: dict[str, str] = {}
TUNED = {
    "in_flow_delay": "0",
    "default_destination_concurrency_limit": "50",
    "initial_destination_concurrency": "50",
    "smtp_destination_concurrency_limit": "50",
}
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
flush unix n - n 1000? 0 flush
"""


def missing() -> str | None:
    """Why Postfix cannot be measured here."""
    if shutil.which("postfix", path=_PATH) is None:
        return "Postfix is not installed"
    if os.geteuid() != 0:
        return "Postfix starts for root only"
    return None


_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/postfix/sbin"


def tool(name: str) -> str | None:
    """One of the programs that come with Postfix, such as `smtp-sink`."""
    return shutil.which(name, path=_PATH)


class Postfix:
    """Started by its constructor; `stop()` ends it. `pid` is its master's."""

    def __init__(self, folder: Path, port: int, sink: int, settings: dict[str, str]) -> None:
        self._folder = folder
        etc = folder / "etc"
        for name in ("etc", "queue", "data"):
            (folder / name).mkdir(parents=True)
        shutil.chown(folder / "data", "postfix")
        folder.chmod(0o755)
        options = {
            "compatibility_level": "3.6",
            "queue_directory": str(folder / "queue"),
            "data_directory": str(folder / "data"),
            "myhostname": "postfix.example",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "mydestination": "",
            "alias_maps": "",
            "local_transport": "error:nothing is local here",
            "relayhost": f"[127.0.0.1]:{sink}",
            "smtp_dns_support_level": "disabled",
            **settings,
        }
        (etc / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in options.items()))
        (etc / "master.cf").write_text(_MASTER.format(port=port))
        self._run("start")
        pid_file = folder / "queue" / "pid" / "master.pid"
        for _ in range(100):
            if pid_file.exists() and (text := pid_file.read_text().strip()):
                self.pid = int(text)
                return
            time.sleep(0.05)
        raise SystemExit("Postfix did not start")

    def stop(self) -> None:
        self._run("stop")

    def _run(self, verb: str) -> None:
        done = subprocess.run(
            [tool("postfix") or "postfix", "-c", str(self._folder / "etc"), verb],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": _PATH},
        )
        if done.returncode:
            raise SystemExit(f"postfix {verb}: {done.stderr.strip()}")
