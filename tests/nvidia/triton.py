"""A real Triton server on the CPU: the one in nvidia-pytriton's wheel, with its Python backend.

It needs numpy < 2 and 370 MB, so it lies in an environment of its own, which ``.ci/nvidia`` makes
and ``TRITON_ENVIRONMENT`` names.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ENVIRONMENT = "TRITON_ENVIRONMENT"


def triton_environment() -> Path:
    """Return the environment that holds Triton; skips the test where there is none."""
    named = os.environ.get(ENVIRONMENT)
    if not named:
        pytest.skip(f"{ENVIRONMENT} names no environment with nvidia-pytriton; .ci/nvidia makes it")
    return Path(named)


@dataclass
class Triton:
    """One server over a model repository; ``tls``: its certificate, key and clients' authority."""

    models: Path
    port: int
    tls: Sequence[Path] = ()
    environment: Path = field(default_factory=triton_environment)

    def start(self) -> None:
        """Start it; it answers some seconds later."""
        (site,) = self.environment.glob("lib/python3.*/site-packages")
        server = site / "pytriton" / "tritonserver"
        stub = server / "python_backend_stubs" / site.parent.name.removeprefix("python")
        beside = server / "backends" / "python" / "triton_python_backend_stub"
        if not beside.exists():
            beside.symlink_to(stub / "triton_python_backend_stub")
        libraries = [site / "nvidia_pytriton.libs", server / "external_libs", server / "lib"]
        options = [
            f"--model-repository={self.models}",
            f"--backend-directory={server / 'backends'}",
            f"--grpc-port={self.port}",
            "--allow-http=false",
            "--allow-metrics=false",
            "--exit-on-error=false",
            "--grpc-address=127.0.0.1",
        ]
        if self.tls:
            certificate, key, authority = self.tls
            options += [
                "--grpc-use-ssl=true",
                "--grpc-use-ssl-mutual=true",
                f"--grpc-server-cert={certificate}",
                f"--grpc-server-key={key}",
                f"--grpc-root-cert={authority}",
            ]
        environ = {
            "PATH": f"{self.environment / 'bin'}:/usr/bin:/bin",
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "PYTHONPATH": str(site),
            "OMP_NUM_THREADS": "1",
        }
        self.log = (self.models.parent / "triton.log").open("ab")
        self.process = subprocess.Popen(
            [server / "bin" / "tritonserver", *options],
            env=environ,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # what it starts to run models is killed with it
        )

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()
