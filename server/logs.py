"""Structured JSON logs, one line an event, on standard error."""

import logging
import sys

import structlog

from config.settings import LogLevel


def configure(level: LogLevel, *, process: str) -> None:
    """Once at the start of a process. Libraries' own warnings come out in the same form."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.EventRenamer("message"),
            structlog.processors.ExceptionRenderer(),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    handler = _Forward()
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


class _Forward(logging.Handler):
    """The standard library's records as structlog events."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        logger.log(record.levelno, record.getMessage(), exc_info=record.exc_info)
