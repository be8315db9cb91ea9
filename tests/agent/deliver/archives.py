"""Archives in a test's hands: Orthanc with its DICOMweb plugin, on ports of their own."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import time
import urllib.request
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from typing_extensions import Self

from tests.agent.doctor.scratch import free_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
ORTHANC = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/bin")
PATIENCE_S = 30.0

needs_orthanc = pytest.mark.skipif(
    ORTHANC is None or not PLUGIN.exists(),
    reason="Orthanc is missing: apt-get install orthanc orthanc-dicomweb",
)


unclosed = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
"""pynetdicom 3.0 leaves a socket that could not connect to the garbage collector."""


def collected() -> None:
    """Collect what pynetdicom leaves, before another test hears of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def until(holds: Any, patience_s: float = PATIENCE_S) -> None:
    deadline_s = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(0.05)


@dataclass
class Orthanc:
    """An archive that commits itself on an association of its own, to ``report_port``."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.http_port, self.report_port = free_port(), free_port(), free_port()
        settings = {
            "Name": "test",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "index"),
            "DicomAet": "ORTHANC",
            "DicomPort": self.port,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": True,
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": [str(PLUGIN)],
            "DicomModalities": {
                "bleedwatch": ["BLEEDWATCH", "127.0.0.1", self.report_port],
            },
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True},
            "ConcurrentJobs": 1,
        }
        self.configuration = self.folder / "orthanc.json"
        self.configuration.write_text(json.dumps(settings))

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def start(self) -> Self:
        assert ORTHANC
        with (self.folder / "log").open("ab") as log:
            command = [ORTHANC, str(self.configuration)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self.answers)
        return self

    def stop(self) -> None:
        """End it as by a power cut."""
        if self.process:
            self.process.kill()
            self.process.wait(PATIENCE_S)
            self.process = None

    def answers(self) -> bool:
        try:
            self.get("system")
        except OSError:
            return False
        return True

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/{path}", timeout=10) as got:
            return json.loads(got.read())

    def has(self, file: bytes) -> None:
        """Put a file into it; C-STORE takes some 90 ms for each."""
        asked = f"http://127.0.0.1:{self.http_port}/instances"
        urllib.request.urlopen(urllib.request.Request(asked, file), timeout=10).close()

    def sop_uids(self) -> list[str]:
        """SOP Instance UIDs of all that it keeps, sorted."""
        found = self.get("instances?expand")
        return sorted(one["MainDicomTags"]["SOPInstanceUID"] for one in found)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
