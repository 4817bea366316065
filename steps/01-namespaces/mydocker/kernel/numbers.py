"""Numbers as somebody has written them: in an option, in a file of an image, in a packet."""


def decimal(text: str, most: int) -> int | None:
    """The whole number that is written in the digits 0 to 9; None for none, or one above ``most``.

    ``int`` alone takes more (``1_0``, ``+1``, `` 1``, other scripts' digits), and for thousands of
    digits it raises an error that nobody expects.
    """
    digits = text.lstrip("0") or "0"
    if not text or not (text.isascii() and text.isdecimal()) or len(digits) > len(str(most)):
        return None
    value = int(digits)
    return value if value <= most else None
