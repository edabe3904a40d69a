"""What a benchmark runs in a process of its own: prints one JSON object of its figures."""
