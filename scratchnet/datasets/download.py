"""Fetch a file from the first mirror that delivers it whole; nothing half-written is ever left behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

TIMEOUT = 30.0  # seconds without an answer before the next mirror is tried
_CHUNK = 1 << 16


class DownloadError(OSError):
    """No mirror delivered the file; ``answers`` has a line for each, with what went wrong."""

    def __init__(self, answers: list[str]) -> None:
        super().__init__("; ".join(answers))
        self.answers = answers


def download(urls: Sequence[str], target: Path, check: Callable[[bytes, str], object]) -> bytes:
    """The content of the first of ``urls`` that answers and passes ``check``, also stored as ``target``.

    Parameters
    ----------
    urls : the mirrors, in the order in which to try them
    target : where to store the content; its folder is made if need be
    check : called with the content and its URL; raises ValueError if the content is not the wanted file

    Raises
    ------
    DownloadError
        If no mirror delivers, or if the file cannot be stored.
    """
    import http.client  # here, because importing scratchnet.datasets must stay cheap

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
    """The content at ``url``, in memory, under a progress bar."""
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
    """Write ``content`` under another name beside ``target``, then rename: readers see all of it or nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
