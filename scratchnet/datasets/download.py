"""Download a file from the first mirror that delivers it whole; no partly written file is ever left behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["DownloadError", "download"]

TIMEOUT = 30.0  # seconds without a response before the next mirror is tried
_CHUNK = 1 << 16


class DownloadError(OSError):
    """No mirror delivered the file; ``answers`` has one line per mirror that says what went wrong."""

    def __init__(self, answers: list[str]) -> None:
        super().__init__("; ".join(answers))
        self.answers = answers


def download(urls: Sequence[str], target: Path, check: Callable[[bytes, str], object]) -> bytes:
    """Return the content of the first URL that responds and passes ``check``, and store it as ``target``.

    Parameters
    ----------
    urls : sequence of str
        Mirrors of the file, in the order in which they are tried.
    target : path
        The file to write; its folder is created if necessary.
    check : callable
        Called with the content and its URL; raises ValueError if that is not the right file.

    Raises
    ------
    DownloadError
        If no mirror delivers, or if the file cannot be stored.
    """
    import http.client  # imported here to keep ``import scratchnet.datasets`` cheap

    answers = []
    for url in urls:
        try:
            content = _fetch(url, target.name)
            check(content, url)
        except (OSError, http.client.HTTPException) as error:
            answers.append(f"{url}: {error or type(error).__name__}")
        except ValueError as error:
            answers.append(str(error))
        else:
            try:
                _store(content, target)
            except OSError as error:
                raise DownloadError([*answers, f"{url}: delivered, but cannot be stored: {error}"]) from error
            return content
    raise DownloadError(answers)


def _fetch(url: str, name: str) -> bytes:
    """Download ``url`` into memory, with a progress bar."""
    from urllib.request import Request, urlopen

    from tqdm import tqdm

    request = Request(url, headers={"User-Agent": "scratchnet"})
    with urlopen(request, timeout=TIMEOUT) as response:
        total = int(response.headers.get("Content-Length") or 0) or None
        content = bytearray()
        with tqdm(total=total, desc=name, unit="B", unit_scale=True) as bar:
            while chunk := response.read(_CHUNK):
                content += chunk
                bar.update(len(chunk))
    if total is not None and len(content) != total:
        raise OSError(f"the connection ended after {len(content)} of {total} bytes")
    return bytes(content)


def _store(content: bytes, target: Path) -> None:
    """Write ``content`` to a temporary file beside ``target``, then rename it: readers see the whole file or none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
