from collections.abc import Callable

from inscriptis.model.html_element import HtmlElement

class Attribute:
    attribute_mapping: dict[str, Callable[[str, HtmlElement], None]]

class ParserConfig:
    attribute_handler: Attribute
    def __init__(self, css: dict[str, HtmlElement] | None = None) -> None: ...
