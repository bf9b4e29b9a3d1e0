"""A folder as the controller takes it: a list of its files by content, and the contents in pieces."""
from __future__ import annotations

import fnmatch
import hashlib
import os
import pathlib
import stat
import struct
from collections.abc import Iterable, Iterator

from slipway.v1 import releases_pb2

CHUNK_BYTES = 256 << 10
_BLOCK_BYTES = 128 << 10


class IgnoreRules:
    """Patterns of .slipwayignore, one a line: `*` and `?` as in a shell, a leading `/` for the top, a trailing `/` for folders only,
    `#` starts a comment. `.git` is always left out."""

    def __init__(self, text: str = ""):
        self._rules: list[tuple[str, bool, bool]] = []
        self.add(".git")
        for line in text.splitlines():
            self.add(line)

    def add(self, pattern: str) -> None:
        pattern = pattern.strip()
        if not pattern or pattern.startswith("#"):
            return
        folders_only = pattern.endswith("/")
        pattern = pattern.removesuffix("/")
        anchored = "/" in pattern
        self._rules.append((pattern.removeprefix("/"), anchored, folders_only))

    def ignores(self, path: str, is_folder: bool) -> bool:
        return any(
            (is_folder or not folders_only) and _matches(pattern, path if anchored else path.rsplit("/", 1)[-1])
            for pattern, anchored, folders_only in self._rules
        )


def _matches(pattern: str, path: str) -> bool:
    """As a shell does: no wildcard stands for a slash."""
    wanted, given = pattern.split("/"), path.split("/")
    return len(wanted) == len(given) and all(map(fnmatch.fnmatchcase, given, wanted))


def scan(folder: pathlib.Path, rules: IgnoreRules) -> releases_pb2.Manifest:
    """Reads and digests every file that the rules leave in. ValueError for what a release cannot hold."""
    entries: list[releases_pb2.ManifestEntry] = []

    def add(prefix: str) -> None:
        with os.scandir(folder / prefix) as found:
            for item in found:
                path = f"{prefix}/{item.name}" if prefix else item.name
                is_folder = item.is_dir(follow_symlinks=False)
                if rules.ignores(path, is_folder):
                    continue
                if is_folder:
                    add(path)
                else:
                    entries.append(_entry(folder, path))

    add("")
    entries.sort(key=lambda entry: entry.path.encode())
    return releases_pb2.Manifest(entries=entries)


def _entry(folder: pathlib.Path, path: str) -> releases_pb2.ManifestEntry:
    full = folder / path
    info = full.lstat()
    if stat.S_ISLNK(info.st_mode):
        return releases_pb2.ManifestEntry(path=path, type=releases_pb2.FILE_TYPE_SYMLINK, link_target=os.readlink(full))
    if not stat.S_ISREG(info.st_mode):
        raise ValueError(f"'{path}' is a socket, pipe or device, which a release cannot hold; add it to .slipwayignore")
    with open(full, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    kind = releases_pb2.FILE_TYPE_EXECUTABLE if info.st_mode & 0o100 else releases_pb2.FILE_TYPE_REGULAR
    return releases_pb2.ManifestEntry(path=path, type=kind, digest=digest, size=info.st_size)


def chunks(content: Iterable[bytes], digest: bytes, size: int) -> Iterator[releases_pb2.UploadBlobsRequest]:
    """One blob as it travels: pieces of one zstd frame. The frame's blocks are stored as they are (RFC 8878, raw blocks), for no
    compressor comes with Python; what is sent is little, for only what changed is sent."""
    chunk = releases_pb2.UploadBlobsRequest(digest=digest, size=size)
    # Magic number; eight bytes of content size; a window of one block, 128 KiB.
    frame = b"\x28\xb5\x2f\xfd" + b"\xc0\x38" + struct.pack("<Q", size)
    left = size
    for block in _blocks(content):
        left -= len(block)
        if left < 0:
            raise ValueError("a file changed while it was being sent")
        frame += _header(block, last=left == 0) + block
        while len(frame) > CHUNK_BYTES:
            chunk.data, frame = frame[:CHUNK_BYTES], frame[CHUNK_BYTES:]
            yield chunk
            chunk = releases_pb2.UploadBlobsRequest()
    if left != 0:
        raise ValueError("a file changed while it was being sent")
    if size == 0:
        frame += _header(b"", last=True)
    chunk.data, chunk.last = frame, True
    yield chunk


def _blocks(content: Iterable[bytes]) -> Iterator[bytes]:
    for piece in content:
        for start in range(0, len(piece), _BLOCK_BYTES):
            yield piece[start : start + _BLOCK_BYTES]


def _header(block: bytes, last: bool) -> bytes:
    return struct.pack("<I", len(block) << 3 | int(last))[:3]


def pieces_of(path: pathlib.Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(_BLOCK_BYTES):
            yield piece
