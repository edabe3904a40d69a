"""Metering without a change to the calls: one file a library that apps already use."""
