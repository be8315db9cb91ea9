"""Every failure the agent can name, grouped by what happens next.

* AgentError                    carries a Reason: what is so, and what to do
  x ConfigError                 refuse to start (exit 78)
  x AccessError                 a user or a password is not as it must be: told to who typed it
  x RequestRefused              a command cannot do what it was asked for, and has done nothing
  x FileRefused                 this file is left out, and said to be
    + DirectoryLeftOut          an index beside the images: left out without a word
    + NotWholeYet               not whole yet: read again when it changes, named if it never is
      - NotReadableNow          cannot be opened: tried again, changed or not
    + SliceRefused              in agent.assemble.header: it belongs to a series, and counts there
  x InputError                  the series ends *not analysed*, the daemon goes on
    + NotEligible               not a non-contrast head CT this protocol covers
    + IdentityError             slices disagree about patient, study or content: refused whole
    + GeometryError             positions do not form a usable grid
  x InferenceError              the series ends *not analysed*
    + BundleError               digest, manifest or network of a bundle is wrong: refuse to load
      - SignatureError          its manifest, or a plan's, is not signed, or by another key
    + PlanError                 a plan is not whole, not verified or does not fit: the CPU runs on
    + GpuError                  the GPU or its driver failed: the CPU takes over, the GPU restarts
    + ServerError               the server failed: the CPU takes over, the server is asked again
    + BadOutputError            NaN, wrong shape, unknown class
  x DeliveryError               a result is not delivered: told to a person, and tried again
    + ArchiveUnreachable        nothing can be sent there at present
    + ArchiveRefused            the archive does not take an object, or does not keep it
  x FolderUnreachable           the export folder cannot be listed: shown, and tried again
  x StoreError                  the store cannot be opened, or is a newer one: refuse to start
  x StoreUnwritable             its disk is full or failing: shown, begun anew from what it has
"""

from __future__ import annotations

from typing import ClassVar

from agent.reasons import Reason, Value, english, what_to_do


def legible(name: str) -> str:
    """Return a file's name as text that can be stored and shown: it may be any bytes."""
    text = name.encode(errors="backslashreplace").decode()
    return "".join(c if c.isprintable() else "�" for c in text)


class AgentError(Exception):
    """A failure with its reason; ``kind`` names the class in logs and metrics."""

    kind: ClassVar[str] = "agent"

    def __init__(self, reason: Reason | str, /, **values: Value) -> None:
        """Carry a reason, or the one that a code and its values make."""
        self.reason = reason if isinstance(reason, Reason) else Reason(reason, **values)
        super().__init__(self.reason)

    def __str__(self) -> str:
        """Say in English what is so."""
        return english(self.reason)

    @property
    def what_to_do(self) -> str:
        """What the reader can do about it, in English; "" where that is nothing."""
        return what_to_do(self.reason)


class ConfigError(AgentError):
    """The configuration, a protocol profile or an address cannot be used."""

    kind = "config"


class AccessError(AgentError):
    """There is no such user, or one already, or a password will not do."""

    kind = "access"


class RequestRefused(AgentError):
    """What a command was asked for cannot be done; nothing was."""

    kind = "request_refused"


class FileRefused(AgentError):
    """One file cannot be a slice; the series it may belong to goes on without it."""

    kind = "file_refused"


class DirectoryLeftOut(FileRefused):
    """An index of the files beside it: nobody misses it."""

    kind = "directory_left_out"


class NotWholeYet(FileRefused):
    """The file is still being written, or was left half-written."""

    kind = "not_whole"


class NotReadableNow(NotWholeYet):
    """It cannot be opened: tried again whether or not it changes."""


class InputError(AgentError):
    """The scanner handed over a series that cannot be analysed."""

    kind = "input"


class NotEligible(InputError):
    """The series is not one the protocol profile covers."""

    kind = "not_eligible"


class IdentityError(InputError):
    """Slices of one series disagree about patient, study or content."""

    kind = "identity"


class GeometryError(InputError):
    """Slice positions, orientation or spacing do not form a usable grid."""

    kind = "geometry"


class InferenceError(AgentError):
    """A network could not be run."""

    kind = "inference"


class BundleError(InferenceError):
    """A bundle's manifest, digest or network is not what it must be."""

    kind = "bundle"


class SignatureError(BundleError):
    """A manifest is not signed, or not by the configured key."""

    kind = "signature"


class PlanError(InferenceError):
    """A TensorRT plan is not whole, not verified, or not one for this machine."""

    kind = "plan"


class GpuError(InferenceError):
    """CUDA, the driver or TensorRT failed; its context can no longer be trusted."""

    kind = "gpu"


class ServerError(InferenceError):
    """The server that runs networks for many boxes fails, or is not what it must be."""

    kind = "server"


class BadOutputError(InferenceError):
    """A network returned NaN, a wrong shape, or an unknown class."""

    kind = "bad_output"


class DeliveryError(AgentError):
    """A channel has not delivered a result."""

    kind = "delivery"


class ArchiveUnreachable(DeliveryError):
    """An archive does not answer, or does not speak to us."""

    kind = "archive_unreachable"


class ArchiveRefused(DeliveryError):
    """An archive has answered that it does not take an object, or does not have it."""

    kind = "archive_refused"


class FolderUnreachable(AgentError):
    """The export folder cannot be listed."""

    kind = "folder_unreachable"


class StoreError(AgentError):
    """The store cannot be opened, or was written by a newer version."""

    kind = "store"


class StoreUnwritable(AgentError):
    """The store cannot be read or written at present; what was not committed did not happen."""

    kind = "store_unwritable"
