"""A scripted POP3 drop, with the faults that servers have as switches."""

import time
from dataclasses import dataclass, field

from tests.integration.fetcher.dialogue import Server


@dataclass
class ScriptedDrop:
    """`mails`: UIDL and bytes, in order. Each connection is a session; DELE counts with QUIT."""

    mails: list[tuple[str, bytes]]
    has_uidl: bool = True
    has_top: bool = True
    capabilities: tuple[str, ...] = ("USER", "UIDL", "TOP", "SASL PLAIN")
    pass_says: str = "+OK in"
    quit_says: str = "+OK bye"  # "": the connection is lost instead
    quit_removes: bool = True
    retr_says: str = ""
    asked: list[tuple[float, str]] = field(default_factory=list)

    def count(self, command: str) -> int:
        return sum(1 for _, said in self.asked if said.startswith(command))

    async def __call__(self, server: Server) -> None:
        await server.says("+OK ready")
        marked: set[int] = set()
        while line := (await server.reader.readline()).decode().strip():
            self.asked.append((time.monotonic(), line))
            command, _, argument = line.partition(" ")
            if command == "QUIT":
                await self._quit(server, marked)
                return
            if command == "DELE":
                marked.add(int(argument) - 1)
                await server.says("+OK marked")
            else:
                await self._answer(server, command, argument)

    async def _quit(self, server: Server, marked: set[int]) -> None:
        if self.quit_removes and self.quit_says.startswith("+OK"):
            self.mails = [mail for place, mail in enumerate(self.mails) if place not in marked]
        if not self.quit_says:
            raise ConnectionResetError
        await server.says(self.quit_says)

    async def _answer(self, server: Server, command: str, argument: str) -> None:
        numbered = list(enumerate(self.mails, start=1))
        match command:
            case "CAPA":
                await server.says("+OK", *self.capabilities, ".")
            case "USER":
                await server.says("+OK who")
            case "PASS":
                await server.says(self.pass_says)
            case "LIST":
                await server.says("+OK", *(f"{number} {len(raw)}" for number, (_, raw) in numbered), ".")
            case "UIDL" if self.has_uidl:
                await server.says("+OK", *(f"{number} {name}" for number, (name, _) in numbered), ".")
            case "TOP" if self.has_top:
                head = self.mails[int(argument.split(maxsplit=1)[0]) - 1][1].partition(b"\r\n\r\n")[0]
                await server.says("+OK", head, "", ".")
            case "RETR" if self.retr_says:
                await server.says(self.retr_says)
            case "RETR":
                raw = self.mails[int(argument) - 1][1]
                stuffed = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:]
                await server.sends(b"+OK\r\n" + stuffed.removesuffix(b"\r\n") + b"\r\n.\r\n")
            case _:
                await server.says("-ERR what")
