"""Spans for OpenTelemetry, where it is installed and an exporter is configured; nothing otherwise.

The address is OpenTelemetry's own setting, OTEL_EXPORTER_OTLP_ENDPOINT.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from yozora.errors import YozoraError

try:
    from opentelemetry import trace
except ImportError:
    trace = None  # type: ignore[assignment]

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
sent = False  # whether this process's spans go anywhere


@contextmanager
def span(name: str, **attributes: str | int | float) -> Iterator[None]:
    """A span around a piece of work; names and numbers only, never words of a client's."""
    if trace is None or not sent:
        yield
        return
    with trace.get_tracer("yozora").start_as_current_span(name, attributes=attributes):
        yield


def wanted() -> bool:
    """Whether the environment says where spans go.

    Raises:
        YozoraError: it names an address, and the packages are missing.
    """
    if not os.environ.get(ENDPOINT):
        return False
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401
    except ImportError as error:
        raise YozoraError(
            f"{ENDPOINT} is set, but the package {error.name} is missing: pip install 'yozora[tracing]'."
        ) from error
    return True


def begin(service: str) -> None:
    """Send this process's spans where the environment says; to nobody where it says nothing. Raises as `wanted`."""
    global sent
    if not wanted():
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    sent = True
