"""`make bench` runs all of them, `make bench NAME=demo` one; results are in build/bench."""
