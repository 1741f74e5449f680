"""JSON logs, one object a line on stderr: time, level, service, action, message, and the ids it is about.

Call `log.info("sentence", extra=fields(action="mail_fetched", account=...))`. Values are ids, names and counts;
never an address, a subject, a body or a secret.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from shared.clock import rfc3339

NOISY = {
    # an outage would log dozens of lines a second, and our own code says it once; at DEBUG it prints passwords
    "aiokafka": logging.CRITICAL,
    "faststream": logging.ERROR,  # it warns at every start that topics are not made by it
    "aioimaplib": logging.WARNING,  # at DEBUG it prints credentials
    "mail.log": logging.WARNING,
}


def fields(**values: Any) -> dict[str, Any]:
    return {"fields": values}


class JsonFormatter(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            if logging.getLogger().isEnabledFor(logging.DEBUG):
                line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(service: str, level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, lowest in NOISY.items():
        logging.getLogger(name).setLevel(lowest)
