"""Downloads against a server on this machine: good, corrupt, missing, cut short, silent, interrupted."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
import time

import numpy as np
import pytest

from scratchnet.datasets import download as download_module
from scratchnet.datasets import load_mnist, mnist
from scratchnet.datasets.download import DownloadError, download

GOOD = b"the file itself " * 10_000


@pytest.fixture
def server():
    """Yields (base URL, {path: answer}, log); an answer is the content, a status, or a callable on the handler."""
    answers, log = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            log.append((self.path, self.headers["User-Agent"]))
            answer = answers.get(self.path, 404)
            if callable(answer):
                answer(self)
            elif isinstance(answer, int):
                self.send_error(answer)
            else:
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *args):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}", answers, log
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def check(content, url):
    if content != GOOD:
        raise ValueError(f"{url} is damaged")


def cut_short(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(GOOD)))
    handler.end_headers()
    handler.wfile.write(GOOD[:1000])


def without_length(handler):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(GOOD)


def no_http(handler):
    handler.wfile.write(b"nonsense\r\n\r\n")


def silent(handler):
    time.sleep(1.0)


def everything_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("answer", [GOOD, without_length], ids=["with a length", "without a length"])
def test_a_good_file_is_returned_and_stored(server, tmp_path, capsys, answer):
    base, answers, log = server
    answers["/file"] = answer
    target = tmp_path / "new" / "folder" / "file"
    assert download([f"{base}/file", f"{base}/never-asked"], target, check) == GOOD
    assert everything_in(tmp_path) == ["new/folder/file"]
    assert target.read_bytes() == GOOD
    assert log == [("/file", "scratchnet")]
    assert "file" in capsys.readouterr().err  # the progress bar


@pytest.mark.parametrize(
    ("bad", "answer"),
    [
        (b"corrupt", "/first is damaged"),
        (404, "HTTP Error 404"),
        (503, "HTTP Error 503"),
        (cut_short, f"the connection ended after 1000 of {len(GOOD)} bytes"),
        (no_http, "nonsense"),
        (silent, "timed out"),
    ],
    ids=["corrupt", "404", "503", "cut short", "no HTTP", "silent"],
)
def test_a_bad_mirror_is_passed_over_and_its_answer_kept(server, tmp_path, monkeypatch, bad, answer):
    base, answers, log = server
    monkeypatch.setattr(download_module, "TIMEOUT", 0.2)
    answers.update({"/first": bad, "/second": GOOD})
    assert download([f"{base}/first", f"{base}/second"], tmp_path / "file", check) == GOOD
    assert [path for path, _ in log] == ["/first", "/second"]
    assert everything_in(tmp_path) == ["file"]
    with pytest.raises(DownloadError) as error:
        download([f"{base}/first", f"{base}/third"], tmp_path / "other", check)
    assert len(error.value.answers) == 2
    assert f"{base}/first" in error.value.answers[0]
    assert answer in error.value.answers[0]
    assert f"{base}/third: HTTP Error 404" in error.value.answers[1]
    assert everything_in(tmp_path) == ["file"]


def test_a_refused_connection_is_reported(tmp_path):
    with pytest.raises(DownloadError, match="refused"):
        download(["http://127.0.0.1:9/file"], tmp_path / "file", check)
    assert everything_in(tmp_path) == []


def test_no_mirrors_is_an_error(tmp_path):
    with pytest.raises(DownloadError):
        download([], tmp_path / "file", check)


@pytest.mark.parametrize("step", ["fetch", "write", "rename"])
def test_an_interrupt_leaves_nothing_behind(server, tmp_path, monkeypatch, step):
    base, answers, _ = server

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    if step == "fetch":
        monkeypatch.setattr("tqdm.tqdm.update", interrupt)
    else:
        monkeypatch.setattr(download_module.os, {"write": "fdopen", "rename": "replace"}[step], interrupt)
    answers["/file"] = GOOD
    (tmp_path / "file").write_bytes(b"what was there before")
    with pytest.raises(KeyboardInterrupt):
        download([f"{base}/file"], tmp_path / "file", check)
    assert everything_in(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"what was there before"


def test_a_place_that_cannot_be_written_is_named(server, tmp_path):
    base, answers, _ = server
    answers["/file"] = GOOD
    (tmp_path / "folder").write_bytes(b"a file where a folder should be")
    with pytest.raises(DownloadError, match=r"/file: delivered, but cannot be stored: .*folder"):
        download([f"{base}/file"], tmp_path / "folder" / "file", check)


def test_a_full_disk_leaves_nothing_behind(server, tmp_path, monkeypatch):
    base, answers, _ = server
    answers["/file"] = GOOD

    def full(source, target):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(download_module.os, "replace", full)
    with pytest.raises(DownloadError, match=r"delivered, but cannot be stored: .*No space left"):
        download([f"{base}/file"], tmp_path / "file", check)
    assert everything_in(tmp_path) == []


# -- the whole way: load_mnist(size="full") ---------------------------------------------------------------------------


def idx(array):
    array = np.asarray(array, np.uint8)
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def tiny(server, monkeypatch, tmp_path):
    """A set of two 1 x 2 images in place of MNIST, two mirrors, an empty cache."""
    base, *_ = server
    images, labels = mnist.FILES["test"]
    content = {images: idx([[[0, 255]], [[51, 102]]]), labels: idx([3, 4])}
    monkeypatch.setitem(mnist.MD5, "mnist", {f: hashlib.md5(c).hexdigest() for f, c in content.items()})
    monkeypatch.setitem(mnist.MIRRORS, "mnist", [f"{base}/a/", f"{base}/b/"])
    monkeypatch.delenv("SCRATCHNET_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return {f"{name}.gz": gzip.compress(c) for name, c in content.items()}


def test_load_mnist_downloads_once(xp, server, tiny, tmp_path):
    _, answers, log = server
    images, labels = tiny
    answers[f"/a/{images}"] = gzip.compress(b"another file")
    answers[f"/b/{images}"] = tiny[images]
    answers[f"/a/{labels}"] = tiny[labels]
    for _ in range(2):  # the second time from the cache
        X, y = load_mnist("test", size="full")
        np.testing.assert_array_equal(X.tolist(), np.float32([[0, 1], [0.2, 0.4]]).tolist())
        assert y.tolist() == [3, 4]
        assert [path for path, _ in log] == [f"/a/{images}", f"/b/{images}", f"/a/{labels}"]
    assert everything_in(tmp_path) == [f"scratchnet/mnist/{images}", f"scratchnet/mnist/{labels}"]


def test_load_mnist_lists_what_every_mirror_said(server, tiny, tmp_path):
    base, answers, _ = server
    images, _ = tiny
    answers[f"/a/{images}"] = gzip.compress(b"another file")
    with pytest.raises(FileNotFoundError) as error:
        load_mnist("test", size="full")
    lines = str(error.value).splitlines()
    assert [line.split(":")[0] for line in lines[1:4]] == ["  - root", "  - $SCRATCHNET_DATA", "  - user cache"]
    assert lines[4].startswith(f"  - {base}/a/{images} is damaged or another file")
    assert lines[5] == f"  - {base}/b/{images}: HTTP Error 404: Not Found"
    assert everything_in(tmp_path) == []


def test_a_damaged_file_in_the_cache_is_replaced(server, tiny, tmp_path):
    _, answers, _ = server
    for name, data in tiny.items():
        answers[f"/b/{name}"] = data
    load_mnist("test", size="full")
    stored = tmp_path / "scratchnet" / "mnist" / next(iter(tiny))
    stored.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="is damaged or another file") as caught:
        _, y = load_mnist("test", size="full")
    assert caught[0].filename == __file__
    assert y.tolist() == [3, 4]
    assert stored.read_bytes() == next(iter(tiny.values()))


def test_every_mirror_is_a_folder_url():
    for mirrors in mnist.MIRRORS.values():
        assert len(mirrors) >= 2
        assert all(url.startswith("http") and url.endswith("/") for url in mirrors)
