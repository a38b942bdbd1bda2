"""Claims of a token, read without verifying it."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Literal

Operation = Literal["pseudonymise", "reverse", "secondary"]

OPERATIONS: tuple[Operation, ...] = ("pseudonymise", "reverse", "secondary")


@dataclass(frozen=True)
class Claims:
    """The claims that change what a client does. A token that is not a JWT has none."""

    operation: Operation | None = None
    policy: str | None = None
    values_per_request: int | None = None
    """psn.lim.req"""
    budget: bool = False
    """psn.lim.max is set: every value that is transformed is counted."""
    rate: bool = False
    """psn.lim.rate is set: the number of values per second is limited."""
    item: bool = False
    """psn.err is "item": bad values have no result, and the others are returned."""

    def repeats_are_equal(self, operation: Operation) -> bool:
        """Whether equal values get equal results, so that one of them is sent."""
        return self.policy is not None and (operation == "reverse" or self.policy == "same")

    def counts_occurrences(self, operation: Operation) -> bool:
        """Whether results depend on all values of one request (policy "document")."""
        return operation != "reverse" and self.policy == "document"


def read_claims(token: str) -> Claims:
    """Return the claims of a JWT; of any other token, none."""
    parts = token.split(".")
    if len(parts) != 3:
        return Claims()
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return Claims()
    psn = payload.get("psn") if isinstance(payload, dict) else None
    if not isinstance(psn, dict):
        return Claims()
    limits = psn.get("lim")
    if not isinstance(limits, dict):
        limits = {}
    most = limits.get("req")
    named = psn.get("op")
    policy = psn.get("policy", "same")
    return Claims(
        operation=next((op for op in OPERATIONS if op == named), None),
        policy=policy if isinstance(policy, str) else None,
        values_per_request=most if isinstance(most, int) and most > 0 else None,
        budget=bool(limits.get("max")),
        rate=bool(limits.get("rate")),
        item=psn.get("err") == "item",
    )
