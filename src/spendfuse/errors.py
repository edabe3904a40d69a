"""The errors of spendfuse, told apart by what the caller does next.

* SpendfuseError
  * InputError: mend what was sent; the same call fails again
  * SettingsError: mend the configuration or the environment
  * UnavailableError: nothing was done; the same call may work later
"""

from __future__ import annotations


class SpendfuseError(Exception):
    """Base of every error that spendfuse raises on purpose."""


class InputError(SpendfuseError):
    """Something that was sent is wrong; sending it again fails again."""


class SettingsError(SpendfuseError):
    """The configuration or the environment is wrong."""


class UnavailableError(SpendfuseError):
    """A service could not be reached or refused for now; try again later."""
