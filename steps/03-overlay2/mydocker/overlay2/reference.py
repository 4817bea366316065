"""The names of images: ``[domain/]path[:tag][@digest]``, by Docker's grammar and defaults.

``busybox`` is short for ``docker.io/library/busybox:latest``. The store keeps the short form, which
Docker calls familiar, and gives it back in listings.
"""

from mydocker.kernel.errors import Invalid
from mydocker.kernel.records import record

DEFAULT_TAG = "latest"
_DEFAULT_DOMAINS = ("docker.io", "index.docker.io")
_LONGEST = 255

# https://pkg.go.dev/github.com/distribution/reference#pkg-overview has the grammar
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"
_TAG = r"\w[\w.-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}"


class InvalidReference(Invalid):
    """Not the name of an image."""


@record
class Reference:
    """A parsed name: ``repository`` in its familiar form; ``tag`` and ``digest`` may be empty."""

    repository: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """The name under which the store keeps it: repository and tag, by default ``latest``."""
        return f"{self.repository}:{self.tag or DEFAULT_TAG}"


def parse(text: str) -> Reference:
    """Take a name apart. Raises InvalidReference, worded as Docker does."""
    import re  # compiles its patterns at the first use: not for names that are found at once

    rest, _, digest = text.partition("@")
    tagged = re.fullmatch(f"(.*?)(?::({_TAG}))?", rest, re.ASCII | re.DOTALL)
    repository, tag = (tagged[1], tagged[2] or "") if tagged else (rest, "")
    domain, path = _split_domain(repository)
    if "@" in text and not re.fullmatch(_DIGEST, digest):
        raise _invalid(text)
    if path != path.lower() and re.fullmatch(f"(?:{_COMPONENT}/)*{_COMPONENT}", path.lower()):
        shown = path if domain or "/" in path else f"library/{path}"
        raise _invalid(text, f": repository name ({shown}) must be lowercase")
    if not re.fullmatch(f"{_COMPONENT}(?:/{_COMPONENT})*", path):
        raise _invalid(text)
    if domain and not re.fullmatch(_DOMAIN, domain):
        raise _invalid(text)
    if len(repository) > _LONGEST:
        raise _invalid(text, f": repository name must not be more than {_LONGEST} characters")
    if re.fullmatch(r"[0-9a-f]{64}", repository):
        raise _invalid(text, ": 64 hexadecimal digits are an image's id")
    if domain in ("", *_DEFAULT_DOMAINS):
        domain, path = "", path.removeprefix("library/") if path.count("/") == 1 else path
    return Reference(f"{domain}/{path}" if domain else path, tag, digest)


def _split_domain(repository: str) -> tuple[str, str]:
    """The part before the first slash is a domain if nothing else can look like it."""
    first, slash, rest = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return first, rest
    return "", repository


def _invalid(text: str, why: str = "") -> InvalidReference:
    shown = f"{text!r}: " if text else ""
    return InvalidReference(
        f"{shown}invalid reference format{why}",
        "Write a name as busybox, busybox:1.36 or me/box:v2",
    )
