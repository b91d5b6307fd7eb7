"""Counts of a server in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter, defaultdict

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Since the server started. `record` is for its event loop alone, `add_sentences` for its worker."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str]] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._sentences: Counter[str] = Counter()

    def record(self, endpoint: str, status: str, seconds: float) -> None:
        """An answered request; seconds from its head to the answer."""
        self._requests[endpoint, status] += 1
        self._seconds[endpoint] += seconds

    def add_sentences(self, endpoint: str, count: int) -> None:
        """Sentences of an answer."""
        self._sentences[endpoint] += count

    def text(self, waiting: int) -> str:
        """What a scraper reads; `waiting`: requests in the queue."""
        ended: Counter[str] = Counter()
        for (endpoint, _), count in self._requests.items():
            ended[endpoint] += count
        lines = [
            *_head("seqvae_requests_total", "counter", "Requests, by endpoint and HTTP status; left: by the client."),
            *(
                f'seqvae_requests_total{{endpoint="{endpoint}",status="{status}"}} {count}'
                for (endpoint, status), count in sorted(self._requests.items())
            ),
            *_head("seqvae_request_seconds", "summary", "Seconds from a request to its answer, the queue included."),
        ]
        for endpoint, count in sorted(ended.items()):
            lines.append(f'seqvae_request_seconds_sum{{endpoint="{endpoint}"}} {self._seconds[endpoint]:.6f}')
            lines.append(f'seqvae_request_seconds_count{{endpoint="{endpoint}"}} {count}')
        lines += _head("seqvae_sentences_total", "counter", "Sentences read or written, by endpoint.")
        for endpoint, count in sorted(dict(self._sentences).items()):
            lines.append(f'seqvae_sentences_total{{endpoint="{endpoint}"}} {count}')
        lines += _head("seqvae_waiting_requests", "gauge", "Requests that wait for the model.")
        lines.append(f"seqvae_waiting_requests {waiting}")
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, about: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
