from inscriptis.html_properties import Display

class HtmlElement:
    display: Display
    def __init__(self, *, display: Display = ..., padding_inline: int = 0) -> None: ...
