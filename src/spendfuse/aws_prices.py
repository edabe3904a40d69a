"""What AWS asks for the services that spendfuse stands on: one dated table.

Used by `spendfuse estimate` and by the dashboard's widget on the toolkit's own cost.
"""

from __future__ import annotations
