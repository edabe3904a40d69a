"""What SQS measures of a queue."""

from __future__ import annotations

from collections.abc import Iterable


def figures(waiting: Iterable[tuple[float, float]], now: float) -> dict[str, float]:
    """Return the metrics of a queue by their names.

    Args:
        waiting: of each message when it was sent, and from when on it can be received; in
            seconds since 1970.
        now: in seconds since 1970.
    """
    messages = list(waiting)
    visible = sum(visible_at <= now for _, visible_at in messages)
    oldest = max((now - sent_at for sent_at, _ in messages), default=None)
    counted = {
        "ApproximateNumberOfMessagesVisible": float(visible),
        "ApproximateNumberOfMessagesNotVisible": float(len(messages) - visible),
    }
    # An empty queue has no oldest message, and SQS measures none.
    return counted if oldest is None else {**counted, "ApproximateAgeOfOldestMessage": oldest}
