from spendfuse.sandbox.queue_figures import figures


def test_a_queue_is_measured_by_what_waits_and_how_long():
    in_flight, waiting = (100.0, 130.0), (110.0, 110.0)

    assert figures([in_flight, waiting], now=120.0) == {
        "ApproximateNumberOfMessagesVisible": 1.0,
        "ApproximateNumberOfMessagesNotVisible": 1.0,
        "ApproximateAgeOfOldestMessage": 20.0,
    }


def test_an_empty_queue_has_no_oldest_message():
    assert figures([], now=120.0) == {
        "ApproximateNumberOfMessagesVisible": 0.0,
        "ApproximateNumberOfMessagesNotVisible": 0.0,
    }
