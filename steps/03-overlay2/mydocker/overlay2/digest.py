"""Names made from content: ``sha256:`` and 64 hexadecimal digits.

A **DiffID** names one layer: the digest of its uncompressed archive. A **ChainID** names a layer
with all that lies below it, as the same files may be stacked on different ones (OCI image
specification, "Layer ChainID"). An image's id is the digest of its configuration, which lists the
DiffIDs: so the id covers every byte of the image.
"""

from collections.abc import Sequence

ALGORITHM = "sha256:"


def of(data: bytes) -> str:
    """The digest of ``data``."""
    from hashlib import sha256  # 2 ms, which `run` of a one-layer image need not pay

    return ALGORITHM + sha256(data).hexdigest()


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """The ChainID of each layer, from the bottom up: of the digest below and the layer's own."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain


def is_digest(text: str) -> bool:
    """True for a whole digest as we write them."""
    return text.startswith(ALGORITHM) and is_hex(text[len(ALGORITHM) :]) and len(text) == 71


def checked(text: object) -> str:
    """``text`` if it is a digest. Raises ValueError for anything else: it becomes a path."""
    if not isinstance(text, str) or not is_digest(text):
        raise ValueError(text)
    return text


def is_hex(text: str) -> bool:
    """True for lower-case hexadecimal digits, at least one."""
    return bool(text) and not text.strip("0123456789abcdef")
