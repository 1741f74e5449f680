from enum import Enum

class Display(Enum):
    inline = 1
    block = 2
    none = 3
