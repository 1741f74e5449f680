"""A small scripted IMAP folder with real UIDs, and the faults that servers have as switches.

`serve` is one connection of `dialogue.scripted`; what was asked of the server stands in `asked`.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.integration.fetcher.dialogue import CAPABILITIES, Server

Body = bytes | None


def members(sequence_set: str, among: Sequence[int]) -> list[int]:
    """UIDs a set names; `n:*` always names the last one (RFC 3501 §6.4.8)."""
    found: set[int] = set()
    last = max(among, default=0)
    for part in sequence_set.split(","):
        first, _, end = part.partition(":")
        low, high = int(first), last if end == "*" else int(end or first)
        found.update(uid for uid in among if min(low, high) <= uid <= max(low, high))
    return sorted(found)


@dataclass
class ScriptedMailbox:
    """`bodies`: by UID; None: the server says NIL, or `cuts` the connection."""

    bodies: dict[int, Body]
    cuts: bool = False
    capabilities: str = CAPABILITIES
    uidvalidity: int = 7
    uidnext: int = 0  # 0: behind the last mail
    vanishing: set[int] = field(default_factory=set)  # gone between the first listing and what follows
    fetch_says: str = ""  # the tagged answer to every FETCH of bodies; BYE…: the connection ends with it
    copy_says: str = "OK copied"
    expunge_says: str = "OK done"
    idle_says: str = "waits"  # waits, exists, OK …, NO …: what becomes of IDLE at once
    loses_store: bool = False
    hidden: set[int] = field(default_factory=set)  # not listed by a search
    dates: dict[int, str] = field(default_factory=dict)  # INTERNALDATE
    asked: list[tuple[float, str]] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    copies: int = 0
    log_ins: int = 0

    def times(self, command: str) -> list[float]:
        """When the commands that begin so were heard."""
        return [moment for moment, said in self.asked if said.startswith(command)]

    async def __call__(self, server: Server) -> None:
        await server.lets_in(self.capabilities)
        self.log_ins += 1
        while line := (await server.reader.readline()).decode().strip():
            server.tag, _, command = line.partition(" ")
            self.asked.append((time.monotonic(), command))
            await self._answer(server, command)

    async def _answer(self, server: Server, command: str) -> None:
        if command.startswith("SELECT"):
            uidnext = self.uidnext or max(self.bodies, default=0) + 1
            await server.answers(
                f"* {len(self.bodies)} EXISTS", f"* OK [UIDVALIDITY {self.uidvalidity}]", f"* OK [UIDNEXT {uidnext}]"
            )
        elif command.startswith("UID SEARCH"):
            found = members(command.split()[3], [uid for uid in self.bodies if uid not in self.hidden])
            await server.answers("* SEARCH " + " ".join(map(str, found)))
            for uid in self.vanishing:
                self.bodies.pop(uid, None)
            self.vanishing.clear()
        elif "RFC822.SIZE" in command:
            for uid in members(command.split()[2], list(self.bodies)):
                size = len(self.bodies[uid] or b"x" * 500)
                date = f' INTERNALDATE "{self.dates[uid]}"' if uid in self.dates else ""
                await server.says(f"* 1 FETCH (UID {uid} RFC822.SIZE {size} FLAGS (){date})")
            await server.answers()
        elif command.startswith("UID FETCH"):
            await self._send_bodies(server, command.split()[2])
        elif command.startswith("UID STORE"):
            if self.loses_store:
                self.loses_store = False
                raise ConnectionResetError
            self.stored.append(command.split()[2])
            await server.answers()
        elif command == "IDLE":
            await self._idle(server)
        else:
            await self._others(server, command)

    async def _others(self, server: Server, command: str) -> None:
        if command.startswith("UID COPY"):
            self.copies += len(members(command.split()[2], list(self.bodies)))
            await server.answers(tagged=self.copy_says)
        elif command.startswith("UID EXPUNGE"):
            if self.expunge_says.startswith("OK"):
                for uid in members(command.split()[2], list(self.bodies)):
                    del self.bodies[uid]
            await server.answers(tagged=self.expunge_says)
        else:
            await server.answers()

    async def _send_bodies(self, server: Server, uids: str) -> None:
        self.fetched.append(uids)
        if self.fetch_says.startswith("* BYE"):
            await server.says(self.fetch_says)
            raise ConnectionResetError
        if self.fetch_says:
            await server.answers(tagged=self.fetch_says)
            return
        for uid in members(uids, list(self.bodies)):
            body = self.bodies[uid]
            if body is not None:
                await server.sends(b"* 1 FETCH (UID %d BODY[] {%d}\r\n" % (uid, len(body)) + body + b")\r\n")
            elif self.cuts:
                raise ConnectionResetError
            else:
                await server.says(f"* 1 FETCH (UID {uid} BODY[] NIL)")
        await server.answers()

    async def _idle(self, server: Server) -> None:
        if self.idle_says[:2] in {"OK", "NO"}:
            await server.answers(tagged=self.idle_says)
            return
        await server.says("+ idling")
        if self.idle_says == "exists":
            await server.says(f"* {len(self.bodies)} EXISTS")
        tag = server.tag
        async with asyncio.timeout(60):
            await server.reader.readline()
        server.tag = tag
        await server.answers()
