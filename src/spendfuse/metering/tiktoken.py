"""Exact token counts for OpenAI's models, where tiktoken and its files are there already.

tiktoken downloads an encoding at first use, which stalls a request and fails in a closed network.
So an encoding is used only when its file lies, whole, in tiktoken's own cache folder.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

import tiktoken

from spendfuse.metering.estimate import CountTokens

_HOST = "https://openaipublic.blob.core.windows.net/encodings"
FILES: Mapping[str, tuple[str, str]] = {
    "o200k_base": (
        f"{_HOST}/o200k_base.tiktoken",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "cl100k_base": (
        f"{_HOST}/cl100k_base.tiktoken",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
}
"""Where tiktoken gets each encoding, and the SHA-256 that it checks (tiktoken_ext)."""


def counter(model: str, environ: Mapping[str, str]) -> CountTokens | None:
    """Return how to count a model's tokens; None where that would take a download.

    Args:
        model: OpenAI's name for it.
        environ: names the cache folder, as tiktoken reads it: TIKTOKEN_CACHE_DIR.
    """
    try:
        name = tiktoken.encoding_name_for_model(model)
    except KeyError:
        return None
    if not _is_on_disk(name, environ):
        return None
    encoding = tiktoken.get_encoding(name)

    def count(text: str) -> int:
        # A text may quote a special token; to count it is all that is asked for.
        return len(encoding.encode(text, disallowed_special=()))

    return count


def _is_on_disk(name: str, environ: Mapping[str, str]) -> bool:
    if name not in FILES:
        return False
    url, sha256 = FILES[name]
    folder = environ.get("TIKTOKEN_CACHE_DIR", environ.get("DATA_GYM_CACHE_DIR"))
    cache = Path(tempfile.gettempdir()) / "data-gym-cache" if folder is None else Path(folder)
    # tiktoken names a file by the hash of its address; no secret is at stake.
    file = cache / hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    try:
        return folder != "" and hashlib.sha256(file.read_bytes()).hexdigest() == sha256
    except OSError:
        return False
